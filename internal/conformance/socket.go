package conformance

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
)

// socketed is a worker that speaks frames on a WebSocket of a gateway. One that is killed
// is started again.
type socketed struct {
	command, env []string
	relay        *relay
	output       tail
	closers      []func() // in the order of their starts
	ended        chan struct{}

	mu      sync.Mutex
	process *process
	stopped bool
}

func startSocketed(s *stage, _ string) (_ worker, err error) {
	w := &socketed{command: s.cfg.Command, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	address, token, err := w.startGateway(s)
	if err != nil {
		return nil, err
	}
	if w.relay, err = startRelay(address, func(sent bool, text string) { s.trace.addFrame(w.pid(), sent, text) }); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.relay.close)
	w.env = append(os.Environ(), "MAILROOM_URL="+w.relay.url(), "MAILROOM_TOKEN="+token)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.process, err = startProcess(w.command, w.env, &w.output); err == nil {
		go w.supervise(w.process)
	}
	return w, err
}

// startGateway starts a gateway, and returns its address and an API key of the worker.
func (w *socketed) startGateway(s *stage) (address, token string, err error) {
	log := slog.New(slog.NewTextHandler(&w.output, nil))
	conn, err := bus.Connect("redis://"+s.proxy.address(), bus.Options{Namespace: s.keys.Namespace(), Logger: log})
	if err != nil {
		return "", "", err
	}
	w.closers = append(w.closers, func() { _ = conn.Close() })
	ctx, stop := context.WithCancel(context.Background())
	w.closers = append(w.closers, stop)
	if token, _, err = keys.NewStore(conn).Create(ctx, keys.Key{Name: service, Scopes: []string{"serve:" + service}}, 0); err != nil {
		return "", "", err
	}
	gateway, err := api.New(busctx.With(ctx, conn), api.Config{
		Auth: api.AuthRequired, IdleLimit: s.cfg.IdleLimit, DrainLimit: hostDrain, LocalBytes: -1, Logger: log,
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
func (w *socketed) supervise(p *process) {
	defer close(w.ended)
	for {
		<-p.gone
		w.mu.Lock()
		if w.stopped || p.cmd.ProcessState.Exited() {
			w.mu.Unlock()
			return
		}
		next, err := startProcess(w.command, w.env, &w.output)
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
func (w *socketed) present() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process
}

func (w *socketed) pid() int { return w.present().cmd.Process.Pid }

func (w *socketed) gone() <-chan struct{} { return w.ended }

func (w *socketed) exitCode() int { return w.present().cmd.ProcessState.ExitCode() }

// stop ends the process first, so that the gateway does not wait for it.
func (w *socketed) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	sendSignal(w, syscall.SIGKILL)
	<-w.ended
	w.close()
}

// close ends the gateway and the relay.
func (w *socketed) close() {
	for i := range w.closers {
		w.closers[len(w.closers)-1-i]()
	}
}

func (w *socketed) printed() string { return w.output.lines(8) }

func (w *socketed) send(message string) error { return w.relay.send(message) }
