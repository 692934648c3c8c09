package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/workmetrics"
	"github.com/oskadev/mailroom/workers"
)

// refusedRetry is when a worker that Redis refuses may connect again.
const refusedRetry = 10 * time.Second

const (
	defaultConcurrency = 64
	maxConcurrency     = 10_000
	defaultStartLimit  = 30 * time.Second
	defaultDrainLimit  = 20 * time.Second
)

// Config configures a Host. Conn and Log are required.
type Config struct {
	// Conn is the connection to the bus.
	Conn *bus.Conn
	// Log receives messages for operators.
	Log *slog.Logger
	// IdleLimit, MaxAttempts, DrainLimit and the cache are those of workers.Config. A
	// worker that does not end a lost run within DrainLimit is stuck.
	IdleLimit        time.Duration
	MaxAttempts      int
	DrainLimit       time.Duration
	CacheRedisURL    string
	CacheCredentials bus.Credentials
	// Concurrency is the number of unfinished runs of a connection whose worker does not
	// say how many it takes. Defaults to 64.
	Concurrency int
	// StartLimit is the time in which a worker has to send its manifest. Defaults to 30 s.
	StartLimit time.Duration
	// Linger is how long a service stays registered without a connection, while a new one
	// is expected. Defaults to 0: it ends with its last connection.
	Linger time.Duration
	// DrainBye is the last frame of a connection that was drained. Defaults to nil: none.
	DrainBye *frames.Bye
	// History is that of workers.Config.
	History int
	// Meter counts the requests. Defaults to nil: they are not counted.
	Meter *workmetrics.Meter
	// Allow refuses a service. Defaults to nil: every service is allowed.
	Allow func(service string) *frames.Bye
}

// Host serves the workers of a process. Close it after the last Serve.
type Host struct {
	cfg Config

	mu       sync.Mutex
	served   bool
	services map[string]*service // by the manifest
	ending   sync.WaitGroup      // of services
}

// New returns a host.
func New(cfg Config) *Host {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.StartLimit == 0 {
		cfg.StartLimit = defaultStartLimit
	}
	if cfg.DrainLimit == 0 {
		cfg.DrainLimit = defaultDrainLimit
	}
	return &Host{cfg: cfg, services: make(map[string]*service)}
}

// Served reports whether a worker has been accepted.
func (h *Host) Served() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.served
}

// Close ends the services that linger and waits for all.
func (h *Host) Close() {
	h.mu.Lock()
	h.endIdle(nil)
	h.mu.Unlock()
	h.ending.Wait()
}

// Serve serves one worker until its connection ends, or until the context has ended and
// its runs are finished. It closes the connection. It returns nil after a drain, a
// *frames.Bye where the worker was refused, and otherwise the error of the connection or
// of Redis.
func (h *Host) Serve(ctx context.Context, conn Conn, stray Stray) error {
	s := newSession(h, conn, stray)
	var reading sync.WaitGroup
	reading.Go(func() { s.end(s.read()) }) //nolint:contextcheck // a service lives until its last connection ends
	err := h.conduct(ctx, s)
	s.end(err)
	var last func([]byte) []byte
	bye, refused := errors.AsType[*frames.Bye](err)
	if _, denied := errors.AsType[*bus.RefusedError](err); denied {
		bye = &frames.Bye{Reason: frames.Unavailable, Message: "Redis refuses this worker; the log of its host has the reason", Retry: refusedRetry}
	}
	if err == nil {
		bye = h.cfg.DrainBye
	}
	if bye != nil {
		last = bye.Append
	}
	s.out.Close(last, refused)
	cut := time.AfterFunc(flushLimit, func() { conn.Close(bye) }) // the worker may not read
	s.out.Wait()
	cut.Stop()
	conn.Close(bye)
	reading.Wait()
	if s.service != nil {
		h.detach(s)
	}
	return err
}

// flushLimit is the time in which the last frames of a connection have to be sent.
const flushLimit = time.Second

// conduct conducts a connection from its serve frame to its end.
func (h *Host) conduct(ctx context.Context, s *session) error {
	start := time.NewTimer(h.cfg.StartLimit)
	defer start.Stop()
	select {
	case <-s.declared:
	case <-s.ended:
		return s.err
	case <-start.C:
		return &frames.Bye{Reason: frames.Slow, Message: fmt.Sprintf("no serve frame within %v", h.cfg.StartLimit)}
	case <-ctx.Done():
		return nil
	}
	v := s.service
	defer v.remove(s)
	select {
	case <-v.started:
		s.send((&frames.Serving{Service: v.name, Worker: v.worker.ID()}).Append)
		v.open(s)
	case <-v.ended:
	case <-s.ended:
	case <-ctx.Done():
	}
	select {
	case <-s.ended:
		return s.err
	case <-v.ended:
		return v.err
	case <-ctx.Done():
	}
	s.send(frames.AppendDrain)
	v.stop()
	select {
	case <-s.ended:
	case <-v.ended:
	}
	return nil
}

// attach adds a connection to its service, which starts with its first connection.
func (h *Host) attach(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.services[s.manifest]
	if s.service = v; v == nil || !v.add(s) {
		v = h.start(s)
		h.services[s.manifest] = v
	}
	h.endIdle(v)
	h.served = true
}

// endIdle stops the services without connections, except for one. Its caller holds the
// lock.
func (h *Host) endIdle(except *service) {
	for manifest, v := range h.services {
		if v != except && v.closeIfIdle() {
			delete(h.services, manifest)
		}
	}
}

// detach removes a connection from its service, which ends with its last connection.
func (h *Host) detach(s *session) {
	v := s.service
	v.remove(s)
	end := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if v.closeIfIdle() && h.services[s.manifest] == v {
			delete(h.services, s.manifest)
		}
	}
	if h.cfg.Linger > 0 {
		time.AfterFunc(h.cfg.Linger, end)
		return
	}
	end()
}

// start starts the worker of a service, with its first connection.
func (h *Host) start(s *session) *service {
	ctx, stop := context.WithCancel(context.Background())
	v := newService(s.declaration.Name(), stop)
	s.service = v
	v.add(s)
	cfg := workers.Config{
		Logger: h.cfg.Log, Concurrency: s.capacity, OnStart: v.onStart,
		IdleLimit: h.cfg.IdleLimit, MaxAttempts: h.cfg.MaxAttempts, DrainLimit: h.cfg.DrainLimit, History: h.cfg.History,
		CacheRedisURL: h.cfg.CacheRedisURL, CacheCredentials: h.cfg.CacheCredentials,
	}
	h.ending.Go(func() {
		defer stop()
		v.end(workers.Run(workmetrics.With(busctx.With(ctx, h.cfg.Conn), h.cfg.Meter), cfg, s.declaration))
	})
	return v
}
