package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/internal/host"
)

// SocketVariable is the environment variable that names the unix socket of a child.
const SocketVariable = "MAILROOM_SOCKET"

// The time that a child has to end after its connection has ended, and then after SIGTERM.
const (
	exitLimit = 5 * time.Second
	termLimit = 2 * time.Second
)

// readLimit is the time in which the output of a process that has ended is read.
const readLimit = time.Second

// Process is one child process that speaks frames.
type Process struct {
	cmd    *exec.Cmd
	log    *slog.Logger
	speaks chan connection // capacity 1
	exited chan struct{}   // closed when the process has ended
	served chan struct{}   // closed when its connection is not served any more
	in     io.Closer       // its stdin
	pipes  [2]*os.File     // its stdout and stderr
	output sync.WaitGroup  // goroutines that read them
	clean  func()
}

// start starts a command. The child leads a process group of its own: an interrupt from the
// terminal does not reach it, and all its descendants end with it.
func start(command []string, log *slog.Logger) (*Process, error) {
	dir, err := os.MkdirTemp("", "mailroom-")
	if err != nil {
		return nil, fmt.Errorf("create the socket of the worker: %w", err)
	}
	path := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", path) //nolint:noctx // it does not block
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("create the socket of the worker: %w", err)
	}
	clean := func() {
		_ = listener.Close()
		_ = os.RemoveAll(dir)
	}
	p := &Process{
		cmd: exec.Command(command[0], command[1:]...), //nolint:gosec,noctx // the operator names the command; stop ends it
		log: log, speaks: make(chan connection, 1), exited: make(chan struct{}), served: make(chan struct{}), clean: clean,
	}
	p.cmd.Env = append(os.Environ(), SocketVariable+"="+path)
	p.cmd.SysProcAttr = attributes()
	if err := p.run(listener); err != nil {
		clean()
		return nil, err
	}
	return p, nil
}

// run starts the process and the goroutines that read its output.
func (p *Process) run(listener net.Listener) error {
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = outEnd, errsEnd
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with the thread that started it
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		_, _ = outEnd.Close(), errsEnd.Close()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its state is read from the command
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		_, _ = out.Close(), errs.Close()
		return fmt.Errorf("start the worker: %w", err)
	}
	p.log = p.log.With("pid", p.cmd.Process.Pid)
	p.in, p.pipes = in, [2]*os.File{out, errs}
	p.output.Go(func() { p.listenOnPipes(in, out) })
	p.output.Go(func() { logLines(errs, p.log, "stderr") })
	p.output.Go(func() { p.listenOnSocket(listener) })
	return nil
}

// serve serves the child until it ends or the context ends, and ends it.
func (p *Process) serve(ctx context.Context, cfg *Config) error {
	defer p.stop()
	defer close(p.served)
	late := time.NewTimer(cfg.StartLimit)
	defer late.Stop()
	select {
	case speaks := <-p.speaks:
		if cfg.Wrap != nil {
			speaks.Conn = cfg.Wrap(p.cmd.Process.Pid, speaks.Conn)
		}
		served := make(chan error, 1)
		go func() { served <- cfg.Host.Serve(ctx, speaks, speaks.stray) }()
		var err error
		select {
		case err = <-served:
		case <-p.exited: // what it wrote may not have been read yet
			cut := time.AfterFunc(readLimit, func() { speaks.Close(nil) })
			err = <-served
			cut.Stop()
		}
		if !errors.Is(err, host.ErrClosed) {
			return err
		}
	case <-p.exited:
	case <-late.C:
		return fmt.Errorf("the worker sent no serve frame within %v; if it writes to stdout, it has to flush each line", cfg.StartLimit)
	case <-ctx.Done():
		return nil
	}
	return p.ended()
}

// ended returns how the process ended. One that has closed its connection is about to.
func (p *Process) ended() error {
	about := time.NewTimer(readLimit)
	defer about.Stop()
	select {
	case <-p.exited:
		return fmt.Errorf("the process ended: %s", p.cmd.ProcessState)
	case <-about.C:
		return host.ErrClosed
	}
}

// stop ends the process: it has the exit limit to end by itself.
func (p *Process) stop() {
	_ = p.in.Close() // its connection may be the other one
	for _, step := range []struct {
		wait time.Duration
		then syscall.Signal
	}{{exitLimit, syscall.SIGTERM}, {termLimit, syscall.SIGKILL}} {
		timer := time.NewTimer(step.wait)
		select {
		case <-p.exited:
		case <-timer.C:
			p.log.Warn("the worker process does not end, sending a signal", "signal", step.then.String())
			p.signal(step.then)
		}
		timer.Stop()
	}
	<-p.exited
	p.signal(syscall.SIGKILL) // what is left of its group
	p.clean()
	for _, pipe := range p.pipes { // a process that left the group may hold them open
		_ = pipe.SetReadDeadline(time.Now().Add(readLimit))
	}
	p.output.Wait()
}

// signal signals the process group of the child.
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }
