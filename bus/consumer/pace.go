package consumer

import (
	"sync/atomic"
	"time"
)

// What is quick: runs that hardly do more than compute a little. They score, what takes
// longer costs many scores, and from quickScore on an action counts as quick.
const (
	quickRun   = 100 * time.Microsecond
	quickScore = 32
	maxScore   = 64
)

// pace is how quickly an action has been running.
type pace struct{ score atomic.Int32 }

// note takes the duration of a run.
func (p *pace) note(took time.Duration) {
	score := p.score.Load() // of two at once one may be lost
	switch {
	case took > 10*quickRun:
		score = 0
	case took > quickRun:
		score = max(0, score-quickScore)
	case score == maxScore:
		return
	default:
		score++
	}
	p.score.Store(score)
}

// isQuick tells whether it is likely to be quick the next time.
func (p *pace) isQuick() bool { return p != nil && p.score.Load() >= quickScore }
