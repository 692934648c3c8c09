//go:build !race

package isolation

import "time"

const raceEnabled = false

// floor is the difference of two p99s that does not count: attacker, victims and gateway share few cores.
const floor = 20 * time.Millisecond
