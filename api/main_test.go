package api_test

import (
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
