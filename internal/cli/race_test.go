//go:build race

package cli

// raceEnabled reports that the race detector, which takes memory of its own, watches.
const raceEnabled = true
