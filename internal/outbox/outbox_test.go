package outbox

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func text(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

// writer blocks each write until the test lets it go on.
type writer struct {
	writes chan string
	goOn   chan error
}

func newWriter() *writer { return &writer{make(chan string), make(chan error)} }

func (w *writer) write(lines []byte) error {
	w.writes <- string(lines)
	return <-w.goOn
}

func TestFramesThatWaitGoTogether(t *testing.T) {
	t.Parallel()
	w := newWriter()
	o := New(100, w.write, nil)
	require.True(t, o.Add(text("a")))
	assert.Equal(t, "a\n", <-w.writes)
	o.Add(text("b"))
	o.Add(text("c"))
	w.goOn <- nil
	assert.Equal(t, "b\nc\n", <-w.writes)
	w.goOn <- nil
	o.Wait()
	o.Add(text("d"))
	assert.Equal(t, "d\n", <-w.writes)
	w.goOn <- nil
	o.Wait()
}

func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	w := newWriter()
	o := New(3, w.write, nil)
	o.Add(text("first"))
	<-w.writes
	require.True(t, o.Add(text("long frame")), "one frame may be longer")
	require.False(t, o.Add(text("b")))
	o.Close(text("bye"), true)
	w.goOn <- nil
	assert.Equal(t, "bye\n", <-w.writes, "the others are dropped")
	w.goOn <- nil
	o.Wait()
	assert.True(t, o.Add(text("late")))
	o.Wait()
}

func TestCloseSendsWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWriter()
	o := New(100, w.write, nil)
	o.Add(text("a"))
	<-w.writes
	o.Add(text("b"))
	o.Close(text("bye"), false)
	o.Close(text("again"), false)
	w.goOn <- nil
	assert.Equal(t, "b\nbye\n", <-w.writes)
	w.goOn <- nil
	o.Wait()
}

func TestFailedWriteEndsTheOutbox(t *testing.T) {
	t.Parallel()
	w, failed := newWriter(), make(chan error, 2)
	o := New(100, w.write, func(err error) { failed <- err })
	o.Add(text("a"))
	<-w.writes
	o.Add(text("b"))
	broken := errors.New("broken")
	w.goOn <- broken
	require.ErrorIs(t, <-failed, broken)
	o.Add(text("c"))
	o.Wait()
	assert.Empty(t, failed)
}
