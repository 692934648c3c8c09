package child

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/host"
)

// connection is how a child speaks: on its stdin and stdout, or on a unix socket.
type connection struct {
	host.Conn

	stray host.Stray
}

// pipes is a Conn on stdin and stdout of a child. Its first message has been read already.
type pipes struct {
	*host.Lines

	mu    sync.Mutex
	first []byte
}

// Receive returns the next line.
func (p *pipes) Receive() ([]byte, error) {
	p.mu.Lock()
	first := p.first
	p.first = nil
	p.mu.Unlock()
	if first != nil {
		return first, nil
	}
	return p.Lines.Receive()
}

// listenOnPipes reads stdout. A child that writes a serve frame there speaks on its pipes;
// any other line is logged.
func (p *Process) listenOnPipes(in io.WriteCloser, out *os.File) {
	defer func() { _ = out.Close() }()
	lines := host.NewLines(out, in, func() {
		_ = in.Close()
		_ = out.SetReadDeadline(time.Now()) // wakes Receive
	})
	stray := func(line []byte) { logLine(p.log, "stdout", line) }
	for {
		line, err := lines.Receive()
		if long, ok := errors.AsType[*host.LongError](err); ok {
			line, err = long.Start, nil
		}
		if f, bad := frames.ParseWorker(line); err == nil && bad == nil && f.Kind() == frames.KindServe {
			speaks := connection{Conn: &pipes{Lines: lines, first: append([]byte(nil), line...)}, stray: stray}
			select {
			case p.speaks <- speaks:
				<-p.served
				_ = out.SetReadDeadline(time.Time{})
				continue
			default: // it speaks on its socket
			}
		}
		if stray(line); err != nil {
			return
		}
	}
}

// listenOnSocket accepts the connection of a child that speaks on its unix socket.
func (p *Process) listenOnSocket(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	select {
	case p.speaks <- connection{Conn: host.NewLines(conn, conn, func() { _ = conn.Close() })}:
	default: // it speaks on its pipes
		_ = conn.Close()
	}
}
