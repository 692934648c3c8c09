package worker

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/child"
	"github.com/oskadev/mailroom/internal/conformance/process"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/host"
)

// HostDrain is the drain limit of the host: the time in which a worker has to end a run
// that it lost.
const HostDrain = 5 * time.Second

// hostLinger is the time that a process has to start again.
const hostLinger = 5 * time.Second

// framed is a worker that speaks frames, as the child of a host like that of "mailroom
// serve".
type framed struct {
	trace  *trace.Trace
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // set when ended is closed
	output process.Tail

	mu      sync.Mutex
	present int // the process of the present child
	conn    *tap
}

// serveLimit is the time in which a worker has to send its serve frame. It is shorter than
// that of a check, which then tells why.
const serveLimit = 8 * time.Second

func startFramed(cfg *Config) (Worker, error) {
	f := &framed{trace: cfg.Trace, ended: make(chan struct{})}
	log := slog.New(slog.NewTextHandler(&f.output, nil))
	conn, err := bus.Connect(cfg.url(), bus.Options{Namespace: cfg.Namespace, Logger: log})
	if err != nil {
		return nil, err
	}
	h := host.New(host.Config{
		Conn: conn, Log: log, Linger: hostLinger,
		IdleLimit: cfg.IdleLimit, DrainLimit: HostDrain,
	})
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go func() {
		defer close(f.ended)
		f.err = child.Supervise(ctx, child.Config{Command: cfg.Command, Host: h, Log: log, Wrap: f.wrap, StartLimit: serveLimit})
		if f.err != nil {
			log.Error("the host ended", "error", f.err)
		}
		h.Close()
		_ = conn.Close()
	}()
	return f, nil
}

// wrap records the frames of a child.
func (f *framed) wrap(pid int, conn host.Conn) host.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.present, f.conn = pid, &tap{Conn: conn, trace: f.trace, pid: pid}
	return f.conn
}

// child returns the present child and its connection.
func (f *framed) child() (int, *tap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.present, f.conn
}

// Pid returns the present process.
func (f *framed) Pid() int {
	pid, _ := f.child()
	return pid
}

// Gone is closed when the worker has ended.
func (f *framed) Gone() <-chan struct{} { return f.ended }

// ExitCode returns the exit code of the worker that has ended.
func (f *framed) ExitCode() int {
	if f.err != nil {
		return 1
	}
	return 0
}

// Drain tells the host to end after its runs.
func (f *framed) Drain() { f.cancel() }

// Stop ends the child first, so that the host does not wait for it.
func (f *framed) Stop() {
	f.cancel()
	SendSignal(f, syscall.SIGKILL)
	<-f.ended
}

// Printed returns the last lines of output.
func (f *framed) Printed() string { return f.output.Lines(8) }

// Send sends a message to the child, beside those of the host.
func (f *framed) Send(message string) error {
	_, conn := f.child()
	return conn.Send([]byte(message + "\n"))
}

// tap is a connection that records its frames.
type tap struct {
	host.Conn

	trace *trace.Trace
	pid   int

	mu sync.Mutex // one Send at a time
}

// Receive returns the next message.
func (t *tap) Receive() ([]byte, error) {
	message, err := t.Conn.Receive()
	if len(message) > 0 {
		t.trace.AddFrame(t.pid, true, string(message))
	}
	return message, err
}

// Send sends messages.
func (t *tap) Send(lines []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(lines) {
		t.trace.AddFrame(t.pid, false, string(bytes.TrimSpace(line)))
	}
	return t.Conn.Send(lines)
}

// Close ends the connection.
func (t *tap) Close(reason *frames.Bye) { t.Conn.Close(reason) }
