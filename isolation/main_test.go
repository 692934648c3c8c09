package isolation

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/internal/cli"
	"github.com/oskadev/mailroom/testsupport"
)

// asProgram makes the test binary run as mailroom.
const asProgram = "MAILROOM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	mainOfFlood()
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	testsupport.Main(m,
		// It updates the header Date, and is started once per process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}
