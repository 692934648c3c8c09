package observability

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) {
	testsupport.Main(m,
		// fasthttp starts one for the Date header of all servers, and never ends it.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The worker pool of fasthttp checks every 10 s whether it has been stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// requireEnv names an environment variable. If it is "required", a test that needs
// prometheus or promtool fails without them instead of being skipped.
const requireEnv = "MAILROOM_TEST_PROMETHEUS"

// program returns the path of prometheus or promtool, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv(requireEnv) == "required":
		t.Fatalf("%s is not in PATH (%s=required); install it, for example: apt-get install prometheus", name, requireEnv)
	default:
		t.Skipf("%s is not in PATH", name)
	}
	return path
}
