package bustest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func drainFinishes(s *stage) {
	running, release := make(chan struct{}), make(chan struct{})
	w := s.serve(func(ctx context.Context, d *consumer.Delivery) consumer.Outcome {
		close(running)
		<-release
		return echo(ctx, d)
	})
	c := s.client(caller.Config{})
	answered := s.call(c, unsafe(`[1]`))
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- w.stop() }()
	registry := registry.New(s.conn, nil)
	s.eventually("the worker has signed off", func() bool {
		_ = registry.Look(s.ctx)
		found := registry.Snapshot()["things"]
		return found == nil || !found.Live()
	})
	close(release)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered)
	require.NoError(s.t, <-stopped)
	s.empty()
}

func drainLimit(s *stage) {
	running, causes := make(chan struct{}), make(chan error, 1)
	w := s.serve(func(ctx context.Context, _ *consumer.Delivery) consumer.Outcome {
		close(running)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return consumer.Retry()
	}, func(c *consumer.Config) { c.DrainLimit = 10 * time.Millisecond })
	answered := s.call(s.client(caller.Config{}), unsafe(`[1]`))
	<-running
	require.NoError(s.t, w.stop())
	require.ErrorIs(s.t, <-causes, consumer.ErrDraining)
	s.serve(echo)
	assert.Equal(s.t, `{"ok":true,"result":[1]}`, <-answered, "another worker took it over")
}

func signsOnAndOff(s *stage) {
	changes := make(chan registry.Snapshot, 10)
	registry := registry.New(s.conn, func(found registry.Snapshot) { changes <- found })
	ctx, stop := context.WithCancel(s.ctx)
	var watching sync.WaitGroup
	watching.Go(func() { registry.Run(ctx) })
	defer watching.Wait()
	defer stop()
	began := time.Now()
	w := s.serve(echo)
	found := <-changes
	require.Less(s.t, time.Since(began), 2*time.Second)
	require.True(s.t, found["things"].Live())
	assert.Equal(s.t, w.Worker(), found["things"].Workers[0].ID)
	assert.Equal(s.t, "1.0.0", found["things"].Workers[0].Version)
	require.NoError(s.t, w.stop())
	found = <-changes
	assert.False(s.t, found["things"].Live())
	assert.NotNil(s.t, found["things"].Manifest, "what it served is still known")
}

func routesOfAll(s *stage) {
	with := func(routes ...string) func(*consumer.Config) {
		return func(c *consumer.Config) { c.Manifest = manifest("things", routes...) }
	}
	older := s.serve(echo, with("GET /things/:id", "GET /things/old"))
	newer := s.serve(echo, with("GET /things/:id", "GET /things/new"))
	registry, late := registry.New(s.conn, nil), registry.New(s.conn, nil)
	routes := func(workers int) []string {
		var routes []string
		s.eventually("both workers are listed", func() bool {
			_ = registry.Look(s.ctx)
			found := registry.Snapshot()["things"]
			if found == nil || len(found.Workers) != workers {
				return false
			}
			routes = found.Manifest.Actions[0].Routes
			return true
		})
		return routes
	}
	assert.Equal(s.t, []string{"GET /things/:id"}, routes(2))
	assert.Equal(s.t, []string{"GET /things/new", "GET /things/old"}, registry.Snapshot()["things"].Partial)
	require.NoError(s.t, late.Look(s.ctx))
	require.NoError(s.t, newer.stop())
	assert.Equal(s.t, []string{"GET /things/:id", "GET /things/old"}, routes(1))
	assert.Empty(s.t, registry.Snapshot()["things"].Partial)
	require.NoError(s.t, older.stop())
	require.NoError(s.t, late.Look(s.ctx)) // both have left since its last look
	found := late.Snapshot()["things"]
	assert.False(s.t, found.Live())
	assert.Equal(s.t, []string{"GET /things/new", "GET /things/old"}, found.Partial, "as it was known last")
}

func retired(s *stage) {
	mailbox := s.conn.Keys.Requests("things")
	consumers := func() int {
		found, err := s.rdb.XInfoConsumers(s.ctx, mailbox, wire.Group).Result()
		require.NoError(s.t, err)
		return len(found)
	}
	w := s.serve(echo)
	_, err := s.client(caller.Config{}).Do(s.ctx, safe(`[]`))
	require.NoError(s.t, err)
	require.Equal(s.t, 1, consumers())
	require.NoError(s.t, w.stop())
	assert.Zero(s.t, consumers())
	// A consumer with pending entries stays: removing it would lose them.
	hanging := s.serve(func(ctx context.Context, _ *consumer.Delivery) consumer.Outcome {
		if errors.Is(ctx.Err(), context.Canceled) {
			return consumer.Done(wire.ReplyMeta{}, nil, 0)
		}
		return consumer.Retry()
	}, func(c *consumer.Config) { c.IdleLimit = time.Minute })
	c := s.client(caller.Config{})
	s.call(c, unsafe(`[]`))
	s.eventually("it is pending", func() bool {
		stats, err := admin.ReadStats(s.ctx, s.conn, "things")
		return err == nil && stats.Pending == 1
	})
	require.NoError(s.t, hanging.stop())
	assert.Equal(s.t, 1, consumers())
}
