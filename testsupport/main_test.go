package testsupport

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// outcome describes how a function ended the test that called it.
type outcome struct {
	failed  bool
	skipped bool
	message string
}

// recorder replaces the test that a function fails or skips.
type recorder struct {
	testing.TB

	mu      sync.Mutex
	outcome outcome
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end(outcome{failed: true, message: fmt.Sprintf(format, args...)})
}

func (r *recorder) Skip(args ...any) {
	r.end(outcome{skipped: true, message: fmt.Sprint(args...)})
}

func (r *recorder) end(o outcome) {
	r.mu.Lock()
	r.outcome = o
	r.mu.Unlock()
	runtime.Goexit()
}

// record runs call with a recorder, and returns the outcome.
func record(t *testing.T, call func(testing.TB)) outcome {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(r)
	}()
	<-done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcome
}
