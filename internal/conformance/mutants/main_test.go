package mutants

import (
	"os"
	"strings"
	"testing"

	"github.com/oskadev/mailroom/testsupport"
)

// TestMain runs the test binary as a worker where a test has asked for that.
func TestMain(m *testing.M) {
	if bug, found := strings.CutPrefix(os.Getenv(mutantVariable), "native:"); found {
		os.Exit(runNativeMutant(bug))
	}
	if bug, found := strings.CutPrefix(os.Getenv(mutantVariable), "frames:"); found {
		os.Exit(runFrameMutant(bug))
	}
	testsupport.Main(m)
}
