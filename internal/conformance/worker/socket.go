package worker

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/conformance/process"
	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// socketed is a worker that speaks frames on a WebSocket of a gateway. One that is killed
// is started again.
type socketed struct {
	command, env []string
	relay        *relay
	output       process.Tail
	closers      []func() // in the order of their starts
	ended        chan struct{}

	mu      sync.Mutex
	process *process.Process
	stopped bool
}

func startSocketed(cfg *Config) (_ Worker, err error) {
	w := &socketed{command: cfg.Command, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	address, token, err := w.startGateway(cfg)
	if err != nil {
		return nil, err
	}
	if w.relay, err = startRelay(address, func(sent bool, text string) { cfg.Trace.AddFrame(w.Pid(), sent, text) }); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.relay.close)
	w.env = append(os.Environ(), "MAILROOM_URL="+w.relay.url(), "MAILROOM_TOKEN="+token)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process, err = process.Start(w.command, w.env, &w.output); err == nil {
		go w.supervise(w.process)
	}
	return w, err
}

// startGateway starts a gateway, and returns its address and an API key of the worker.
func (w *socketed) startGateway(cfg *Config) (address, token string, err error) {
	log := slog.New(slog.NewTextHandler(&w.output, nil))
	conn, err := bus.Connect(cfg.url(), bus.Options{Namespace: cfg.Namespace, Logger: log})
	if err != nil {
		return "", "", err
	}
	w.closers = append(w.closers, func() { _ = conn.Close() })
	ctx, stop := context.WithCancel(context.Background())
	w.closers = append(w.closers, stop)
	if token, _, err = keys.NewStore(conn).Create(ctx, keys.Key{Name: suites.Service, Scopes: []string{"serve:" + suites.Service}}, 0); err != nil {
		return "", "", err
	}
	gateway, err := api.New(busctx.With(ctx, conn), api.Config{
		Auth: api.AuthRequired, IdleLimit: cfg.IdleLimit, DrainLimit: HostDrain, LocalBytes: -1, Logger: log,
	})
	if err != nil {
		return "", "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		gateway.Close()
		return "", "", err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = gateway.Serve(ctx, listener)
	}()
	w.closers = append(w.closers, func() { stop(); <-served })
	return listener.Addr().String(), token, nil
}

// supervise starts a process again that was killed, until the worker has ended.
func (w *socketed) supervise(p *process.Process) {
	defer close(w.ended)
	for {
		<-p.Gone
		w.mu.Lock()
		if w.stopped || p.ExitCode() >= 0 {
			w.mu.Unlock()
			return
		}
		next, err := process.Start(w.command, w.env, &w.output)
		if err == nil {
			p, w.process = next, next
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// present returns the present process.
func (w *socketed) present() *process.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process
}

// Pid returns the present process.
func (w *socketed) Pid() int { return w.present().Pid() }

// Gone is closed when the worker has ended.
func (w *socketed) Gone() <-chan struct{} { return w.ended }

// ExitCode returns the exit code of the worker that has ended.
func (w *socketed) ExitCode() int { return w.present().ExitCode() }

// Stop ends the process first, so that the gateway does not wait for it.
func (w *socketed) Stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	SendSignal(w, syscall.SIGKILL)
	<-w.ended
	w.close()
}

// close ends the gateway and the relay.
func (w *socketed) close() {
	for i := range w.closers {
		w.closers[len(w.closers)-1-i]()
	}
}

// Printed returns the last lines of output.
func (w *socketed) Printed() string { return w.output.Lines(8) }

// Send sends a message to the worker, beside those of the gateway.
func (w *socketed) Send(message string) error { return w.relay.send(message) }
