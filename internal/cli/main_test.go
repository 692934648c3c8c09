package cli

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/testsupport"
)

// asProgram makes the test binary the program itself: processes of their own
// can be killed, which functions cannot.
const asProgram = "MAILROOM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	testsupport.Main(m,
		// It writes the header Date for the whole process, and is started once.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// It looks only every 10 s whether its server has been shut down.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
