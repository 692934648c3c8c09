package bench

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) {
	testsupport.Main(m,
		// fasthttp starts one per process for the header Date, and never ends it.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// fasthttp's worker pool checks only every 10 s whether it was stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
