package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/oskadev/mailroom/internal/frames"
)

// Conn carries the frames of one worker.
type Conn interface {
	// Receive returns the next message. It is valid until the next call.
	Receive() ([]byte, error)
	// Send sends messages, each ended by a line break.
	Send(lines []byte) error
	// Close ends the connection and wakes Receive. The reason is nil for a worker that is
	// no longer needed.
	Close(reason *frames.Bye)
}

// Lines is a Conn on a pipe or a unix socket: one frame a line.
type Lines struct {
	in    *bufio.Reader
	out   io.Writer
	long  []byte // a line that is longer than the buffer
	once  sync.Once
	close func()
}

// NewLines returns a Conn. It calls close once.
func NewLines(in io.Reader, out io.Writer, close func()) *Lines {
	return &Lines{in: bufio.NewReaderSize(in, 64<<10), out: out, close: close}
}

var errLongLine = &frames.Bye{Reason: frames.Invalid, Message: fmt.Sprintf("a line is longer than %d bytes", frames.MaxLine)}

// Receive returns the next line that is not empty.
func (l *Lines) Receive() ([]byte, error) {
	for {
		line, err := l.line()
		if line = bytes.TrimSpace(line); len(line) > 0 || err != nil {
			return line, err
		}
	}
}

func (l *Lines) line() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.in.ReadSlice('\n')
		if l.long = append(l.long, line...); len(l.long) > frames.MaxLine {
			return nil, errLongLine
		}
	}
	line = l.long
	if cap(l.long) > 1<<20 {
		l.long = nil
	}
	return line, err
}

// Send writes lines.
func (l *Lines) Send(lines []byte) error {
	_, err := l.out.Write(lines)
	return err
}

// Close closes the pipe or the socket.
func (l *Lines) Close(*frames.Bye) { l.once.Do(l.close) }
