//go:build race

package isolation

import "time"

// raceEnabled reports that the race detector, which takes memory of its own, watches.
const raceEnabled = true

// floor is the difference of two p99s that does not count, for the recovery.
const floor = 150 * time.Millisecond
