package testsupport

import (
	"strings"
	"sync"
)

// Output holds what processes or loggers write while a test reads it. The zero value is ready to use.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds text and never fails.
func (o *Output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

// String returns the text so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Contains reports whether the text so far contains substr.
func (o *Output) Contains(substr string) bool { return strings.Contains(o.String(), substr) }
