// Package redismemory reads what a Redis says about its memory.
package redismemory

import (
	"strconv"
	"strings"
)

// Memory is what a Redis says about its own (INFO memory). All empty: it says
// nothing.
type Memory struct {
	Used, Most int64 // bytes; Most 0: no limit
	Policy     string
}

// Of reads the answer to INFO memory.
func Of(info string) Memory {
	var m Memory
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "used_memory":
			m.Used, _ = strconv.ParseInt(value, 10, 64) // 0 where it cannot be read: not full
		case "maxmemory":
			m.Most, _ = strconv.ParseInt(value, 10, 64) // likewise
		case "maxmemory_policy":
			m.Policy = value
		}
	}
	return m
}

// Over reports whether more than a share of the memory that Redis may take is taken.
func (m Memory) Over(share float64) bool {
	return m.Most > 0 && float64(m.Used) > share*float64(m.Most)
}
