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
	// Receive returns the next message. It is valid until the next call. The error is a
	// *LongError for a message that is too long; then the next call goes on behind it.
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

// LongError reports a message that is longer than a frame may be.
type LongError struct {
	// Start is the beginning of the message.
	Start []byte
}

func (e *LongError) Error() string {
	return fmt.Sprintf("a frame is longer than %d bytes", frames.MaxLine)
}

// longStart is how much of a message that is too long is kept.
const longStart = 200

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
	length := len(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.in.ReadSlice('\n')
		if length += len(line); length <= frames.MaxLine {
			l.long = append(l.long, line...)
		}
	}
	line = l.long
	if length > frames.MaxLine {
		l.long = nil
		if err == nil {
			err = &LongError{Start: line[:longStart]}
		}
		return nil, err
	}
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
