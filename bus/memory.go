package bus

import (
	"strconv"
	"strings"
)

// memoryShare is how much of its memory Redis may use before nothing new is
// admitted: what has been admitted still has to be ended, and that writes too.
const memoryShare = 0.8

// memory is what a Redis says about its own (INFO memory). All empty: it says
// nothing.
type memory struct {
	used, most int64 // bytes; most 0: no limit
	policy     string
}

func memoryOf(info string) memory {
	var m memory
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "used_memory":
			m.used, _ = strconv.ParseInt(value, 10, 64) // 0 where it cannot be read: not full
		case "maxmemory":
			m.most, _ = strconv.ParseInt(value, 10, 64) // likewise
		case "maxmemory_policy":
			m.policy = value
		}
	}
	return m
}

func (m memory) nearlyFull() bool {
	return m.most > 0 && float64(m.used) > memoryShare*float64(m.most)
}
