package consumer

import (
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// A run of at most fastRun adds one to the score of its action, a longer one subtracts
// fastScore, and a ten times longer one resets it. From fastScore on an action is fast.
const (
	fastRun   = 100 * time.Microsecond
	fastScore = 32
	maxScore  = 64
)

// fastActions knows which actions of a service are fast, by the latest runs of each.
type fastActions map[string]*atomic.Int32

func newFastActions(m *wire.Manifest) fastActions {
	f := make(fastActions, len(m.Actions))
	for i := range m.Actions {
		f[m.Actions[i].Name] = &atomic.Int32{}
	}
	return f
}

// note counts a run. Of two runs at once one may be lost.
func (f fastActions) note(action string, took time.Duration) {
	s := f[action]
	if s == nil {
		return
	}
	score := s.Load()
	switch {
	case took > 10*fastRun:
		score = 0
	case took > fastRun:
		score = max(0, score-fastScore)
	case score == maxScore:
		return
	default:
		score++
	}
	s.Store(score)
}

// isFast reports whether the next run is likely to be fast.
func (f fastActions) isFast(action string) bool {
	s := f[action]
	return s != nil && s.Load() >= fastScore
}

// reset makes an action slow until it has shown again that it is fast.
func (f fastActions) reset(action string) {
	if s := f[action]; s != nil {
		s.Store(0)
	}
}
