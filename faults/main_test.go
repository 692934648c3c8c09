package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/oskadev/mailroom/testsupport"
)

// seed is the seed of the schedule of the whole run.
var seed = chooseSeed()

func chooseSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("MAILROOM_FAULTS_SEED"), 10, 64); err == nil {
		return n
	}
	return rand.Uint64()
}

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, "ended with an error:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })
	if !explicit {
		// Most of the time, the tests wait for idle limits, restarts and timeouts.
		if err := flag.Set("test.parallel", "6"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	fmt.Fprintf(os.Stdout, "MAILROOM_FAULTS_SEED=%d\n", seed)
	testsupport.Main(m,
		// It updates the header Date, and is started once per process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	)
}

// forms are the amounts of work of the suite.
const (
	short = "short"
	full  = "full"
	long  = "long"
)

func form() string {
	if f := os.Getenv("MAILROOM_FAULTS"); f != "" {
		return f
	}
	return short
}

// times returns the number of repetitions of a fault, for the present form.
func times(inShort, inFull int) int {
	if form() == short {
		return inShort
	}
	return inFull
}

// random returns the part of the schedule for one test.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	var h uint64
	for _, b := range []byte(t.Name()) {
		h = h*31 + uint64(b)
	}
	return rand.New(rand.NewPCG(seed, h))
}
