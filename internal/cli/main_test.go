package cli

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/testsupport"
)

// asProgram makes the test binary run as mailroom, so that tests can kill it.
const asProgram = "MAILROOM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	testsupport.Main(m,
		// Runs once per process and writes the header Date.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Checks only every 10 s whether its server was shut down.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
