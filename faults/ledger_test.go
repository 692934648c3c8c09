package faults

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ledger is the file to which all processes append their events.
type ledger struct {
	path string

	mu     sync.Mutex
	offset int64
	events []event
}

// event is one line of the ledger.
type event struct {
	at      int64  // unix nanoseconds
	what    string // run, end, settled, hook, stat
	n       string // the number of the call; of a stat: the role
	id      string // of the request; of a stat: resident memory in KB
	attempt int    // of a stat: goroutines
	pid     int
}

// read returns all events so far, in the order in which they were written.
func (l *ledger) read(t *testing.T) []event {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.Seek(l.offset, io.SeekStart)
	require.NoError(t, err)
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	l.offset += int64(len(text))
	for line := range strings.Lines(string(text)) {
		parts := strings.Fields(line)
		require.Len(t, parts, 6, line)
		e := event{what: parts[1], n: parts[2], id: parts[3]}
		e.at, _ = strconv.ParseInt(parts[0], 10, 64)
		e.attempt, _ = strconv.Atoi(parts[4])
		e.pid, _ = strconv.Atoi(parts[5])
		l.events = append(l.events, e)
	}
	return l.events
}

// take returns all events so far, and empties the ledger.
func (l *ledger) take(t *testing.T) []event {
	t.Helper()
	l.read(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}
