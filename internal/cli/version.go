package cli

import (
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker; see Makefile.
var (
	version = ""
	commit  = "" //nolint:gochecknoglobals // the linker sets nothing else
)

type versionCommand struct{}

// Run prints version, commit and Go version.
func (versionCommand) Run(p *program) error { //nolint:unparam // the command line wants a command to give an error
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && c == "" {
				c = setting.Value
			}
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if c == "" {
		c = "unknown"
	}
	p.printf("mailroom %s\ncommit   %s\n%s %s/%s\n", v, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
