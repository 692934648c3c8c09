package testsupport

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DiesWithParent returns process attributes that make the kernel end the child if the test binary ends without its
// cleanups, for example by -timeout or SIGKILL. The kernel does so when the thread that started the child ends. The Go
// runtime ends a thread only if a goroutine has locked it and not unlocked it, which no test does.
func DiesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

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
