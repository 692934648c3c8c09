package testsupport

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// logWait bounds Logs.Wait; what takes longer has not been logged at all.
const logWait = 10 * time.Second

// Logs holds what a logger from [Logger] has written, one line a record in slog's text format. Its methods may be used
// from any goroutine, except Wait.
type Logs struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed, and replaced, whenever a line is added
}

// Logger returns a logger that keeps every record, debug ones too, and the place to look them up. They are printed when
// the test fails.
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

// Write adds one line. It makes Logs the output of a slog handler, which calls it once a record; it never fails.
func (l *Logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	close(l.changed)
	l.changed = make(chan struct{})
	return len(line), nil
}

// Contains reports whether a line so far contains substr.
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

// Wait returns the first line that contains substr, as soon as there is one. It fails the test after 10 seconds.
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

// progress says how many lines have been looked at and which signal announces more.
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
