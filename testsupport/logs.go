package testsupport

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// logWait is the time limit of Logs.Wait.
const logWait = 10 * time.Second

// Logs holds the records of a logger from [Logger], each as one line in slog's text format. Its methods are safe for
// concurrent use, except Wait.
type Logs struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed and replaced when a line is added
}

// Logger returns a logger, and the Logs that hold its records of all levels. If the test fails, they are printed.
func Logger(t testing.TB) (*slog.Logger, *Logs) {
	t.Helper()
	logs := &Logs{changed: make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("captured log:\n%s", logs)
		}
	})
	return slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})), logs
}

// Write adds one line and never fails. A slog handler calls it once per record.
func (l *Logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	close(l.changed)
	l.changed = make(chan struct{})
	return len(line), nil
}

// Contains reports whether one of the lines so far contains substr.
func (l *Logs) Contains(substr string) bool {
	_, found, _ := l.find(substr, 0)
	return found
}

// String returns all lines so far, each ending in a line break.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// Wait waits for a line that contains substr, and returns the first one. After 10 s it fails the test.
func (l *Logs) Wait(t testing.TB, substr string) string {
	t.Helper()
	line, found := l.wait(substr, logWait)
	if !found {
		t.Fatalf("no log line with %q within %s", substr, logWait)
	}
	return line
}

func (l *Logs) wait(substr string, within time.Duration) (string, bool) {
	end := time.NewTimer(within)
	defer end.Stop()
	for seen := 0; ; {
		line, found, changed := l.find(substr, seen)
		if found {
			return line, true
		}
		seen = changed.lines
		select {
		case <-changed.signal:
		case <-end.C:
			return "", false
		}
	}
}

// progress holds the number of lines that were compared, and the channel that is closed when there are more.
type progress struct {
	lines  int
	signal <-chan struct{}
}

func (l *Logs) find(substr string, from int) (string, bool, progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := progress{lines: len(l.lines), signal: l.changed}
	for _, line := range l.lines[from:] {
		if strings.Contains(line, substr) {
			return strings.TrimSuffix(line, "\n"), true, at
		}
	}
	return "", false, at
}
