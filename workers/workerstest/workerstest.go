// Package workerstest runs services in a test: on a Redis in memory, in the test's
// own process, with nothing to install.
//
//	func TestGetUser(t *testing.T) {
//		s := workerstest.Start(t, users)
//		user, err := workerstest.Call[User](s, "GET_USER", 1)
//		…
//	}
//
// A call takes the path of production, without the gateway: its arguments are encoded and
// checked, a worker reads the request from a mailbox and runs it, and the outcome is
// stored. The in-memory Redis is for the logic of services; it does not behave as a real
// one under faults.
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
	// Client calls the actions of these services, and of any other on their Redis.
	Client *client.Client
	// RedisURL is the address of the Redis in memory.
	RedisURL string

	t     testing.TB
	first string
}

// idleLimit is short, because a worker stops within a third of it.
const idleLimit = 500 * time.Millisecond

// Start runs services until the test ends, and waits until they can be called. A
// service that is not declared correctly fails the test. The log of the services goes to
// that of the test, from level warn.
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

// await waits until the client knows a live worker of the service. A worker registers
// right after its start.
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

// Call calls an action of the first service with the context of the test, and returns
// its result. Arguments are encoded as JSON. The error of a failed call is a
// *workers.Error.
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
