package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker; see Makefile and Dockerfile.
var (
	version = ""
	commit  = "" //nolint:gochecknoglobals // the linker sets nothing else
)

type versionCommand struct {
	commonFlags
	redisFlags
}

// Run prints version, commit and Go version.
func (versionCommand) Run(p *program) error {
	info, _ := debug.ReadBuildInfo()
	v, c := buildVersion(version, commit, info)
	p.printf("mailroom %s\ncommit   %s\n%s %s/%s\n", v, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// toolVersion returns the version of this binary.
func toolVersion() string {
	info, _ := debug.ReadBuildInfo()
	v, _ := buildVersion(version, commit, info)
	return v
}

// buildVersion returns the version and the commit of a binary. The linker's
// values win over those that the Go command records: the version of the module
// (go install module@version) and the revision of the checkout. The info may be
// nil.
func buildVersion(linkedVersion, linkedCommit string, info *debug.BuildInfo) (v, c string) {
	module, revision := "", ""
	if info != nil {
		module = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	return cmp.Or(linkedVersion, module, "(devel)"), cmp.Or(linkedCommit, revision, "unknown")
}
