package child

import (
	"os/exec"
)

// alive reports whether a process runs.
func alive(pid string) bool { return exec.Command("kill", "-0", pid).Run() == nil }
