// Package workerstest runs services in a test: on a Redis in memory, in the test's
// own process, with nothing to install.
//
//	func TestGetUser(t *testing.T) {
//		s := workerstest.Start(t, users)
//		user, err := workerstest.Call[User](s, "GET_USER", 1)
//		…
//	}
//
// A call goes the whole way: arguments are encoded and checked, the request lies in a
// mailbox, a worker runs it, its outcome is stored. The in-memory Redis is for the
// logic of services; it does not behave as a real one under faults.
package workerstest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/workers"
)

// Services are running services. They stop when the test ends.
type Services struct {
	// Client calls them, and anything else on their Redis.
	Client *client.Client
	// RedisURL is the address of their Redis.
	RedisURL string

	t     testing.TB
	first string
}

// idleLimit is short, because a worker stops within a third of it.
const idleLimit = 500 * time.Millisecond

// Start runs services until the test ends, and waits until they can be called. A
// service that is not declared correctly fails the test. Records below warn are
// dropped from their log, which goes to the test's.
func Start(t testing.TB, services ...*workers.Service) *Services {
	t.Helper()
	if len(services) == 0 {
		t.Fatal("workerstest.Start: no service is given")
	}
	redis, err := devredis.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- workers.Run(ctx, workers.Config{RedisURL: redis.URL(), Logger: log, IdleLimit: idleLimit, OnReady: func() { close(ready) }}, services...)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	c, err := client.New(ctx, client.Config{Redis: redis.URL(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &Services{Client: c, RedisURL: redis.URL(), t: t, first: services[0].Name()}
	for _, service := range services {
		s.await(service.Name())
	}
	return s
}

// await waits until a service has told that it is there: a worker does so right after
// it starts.
func (s *Services) await(service string) {
	s.t.Helper()
	for {
		_, err := s.Client.Do(s.t.Context(), service, "NO_SUCH_ACTION")
		if client.CodeOf(err) != workers.CodeUnavailable {
			return
		}
		if s.t.Context().Err() != nil {
			s.t.Fatal(errors.Join(err, s.t.Context().Err()))
		}
	}
}

// Call calls an action of the first service, within the test's context.
func Call[R any](s *Services, action string, args ...any) (R, error) {
	return client.Call[R](s.t.Context(), s.Client, s.first, action, args...)
}

// testLog writes to the log of a test.
type testLog struct{ t testing.TB }

// Write logs one record.
func (l testLog) Write(record []byte) (int, error) {
	l.t.Log(string(record))
	return len(record), nil
}
