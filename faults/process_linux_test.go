package faults

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// standsStill reports whether every thread of a process is stopped (proc(5)).
func standsStill(pid int) bool {
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		_, state, found := strings.Cut(string(stat), ") ")
		if err != nil || !found || state[0] != 'T' {
			return false
		}
	}
	return len(threads) > 0
}
