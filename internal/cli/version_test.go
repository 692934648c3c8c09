package cli

import (
	"os"
	"reflect"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuildVersion(t *testing.T) {
	t.Parallel()
	installed := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}} // go install module@version records no revision
	built := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.4-0.20260101000000-0123456789ab"},
		Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef"}},
	}
	for name, c := range map[string]struct {
		version, commit string
		info            *debug.BuildInfo
		wantVersion     string
		wantCommit      string
	}{
		"linker":            {"v2.0.0", "abc", built, "v2.0.0", "abc"},
		"linker's version":  {"v2.0.0", "", built, "v2.0.0", "0123456789abcdef"},
		"linker's commit":   {"", "abc", built, "v1.2.4-0.20260101000000-0123456789ab", "abc"},
		"checkout":          {"", "", built, "v1.2.4-0.20260101000000-0123456789ab", "0123456789abcdef"},
		"go install":        {"", "", installed, "v1.2.3", "unknown"},
		"no information":    {"", "", nil, "(devel)", "unknown"},
		"empty information": {"", "", &debug.BuildInfo{}, "(devel)", "unknown"},
	} {
		v, commit := buildVersion(c.version, c.commit, c.info)
		assert.Equal(t, c.wantVersion, v, name)
		assert.Equal(t, c.wantCommit, commit, name)
	}
}

// The linker ignores a variable that does not exist, so a renamed package would
// lose the version without an error.
func TestLinkerFlagsNameThisPackage(t *testing.T) {
	t.Parallel()
	path := reflect.TypeFor[versionCommand]().PkgPath()
	for file, want := range map[string][]string{
		"../../Makefile":   {"CLI      := " + path + "\n", "-X $(CLI).version=$(VERSION)", "-X $(CLI).commit=$(COMMIT)"},
		"../../Dockerfile": {"-X " + path + ".version=${VERSION}", "-X " + path + ".commit=${COMMIT}"},
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range want {
			assert.Contains(t, string(text), part, file)
		}
	}
}
