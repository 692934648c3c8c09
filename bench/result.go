package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Setup describes a load. A Result in JSON has its fields among its own.
type Setup struct {
	// Target is the name of the target.
	Target string `json:"target"`
	// Loop is "closed" or "open".
	Loop        string `json:"loop"`
	Connections int    `json:"connections"`
	// RateWanted is the rate of the open loop, in requests per second.
	RateWanted float64 `json:"rate_wanted,omitempty"`
}

// Result holds the measurements of a load. The latencies, in milliseconds, include those
// of failed requests; an unanswered request counts with the time until the load ended.
type Result struct {
	Setup
	// Seconds is the time from the end of the warm-up to the last answer.
	Seconds float64 `json:"seconds"`
	// Interrupted reports that the load ended early.
	Interrupted bool `json:"interrupted"`
	// Requests counts the requests that were due after the warm-up.
	Requests int64 `json:"requests"`
	// Rate is the number of answers without failure per second.
	Rate float64 `json:"rate"`
	// Failed counts the requests with a failure or a timeout.
	Failed int64 `json:"failed"`
	// Unanswered counts the requests in flight or due when the load ended.
	Unanswered int64 `json:"unanswered"`
	// Bytes is the size of all answers: bodies over HTTP, envelopes on the bus.
	Bytes   int64   `json:"bytes"`
	Latency Latency `json:"latency_ms"`
	// Late is the delay of the load's own schedule, in the open loop. It is a part of
	// the latencies: if it is not small compared with them, the machine was too busy to
	// run the load.
	Late *Latency `json:"late_ms,omitempty"`
	// Failures lists the failures by kind, the most frequent first.
	Failures []Failure `json:"failures"`
}

// Failure counts one kind of failure.
type Failure struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	// First describes the first failure of this kind.
	First string `json:"first,omitempty"`
}

// Latency is a distribution of latencies, in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func newLatency(h *hdrhistogram.Histogram) *Latency {
	ms := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1000 }
	return &Latency{
		Mean: math.Round(h.Mean()) / 1000, P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1000,
	}
}

// Answered returns the number of answers without failure.
func (r *Result) Answered() int64 { return r.Requests - r.Failed - r.Unanswered }

// Write prints the result as a table.
func (r *Result) Write(w io.Writer) error {
	var b strings.Builder
	loop := "closed loop"
	if r.Loop == "open" {
		loop = fmt.Sprintf("open loop, %s/s wanted", count(int64(r.RateWanted)))
	}
	fmt.Fprintf(&b, "%s\n%s, %d connections, %.1f s", r.Target, loop, r.Connections, r.Seconds)
	if r.Interrupted {
		b.WriteString(", interrupted")
	}
	b.WriteString("\n\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "answered\t%s\t%s/s\t\n", count(r.Answered()), count(int64(r.Rate)))
	fmt.Fprintf(table, "failed\t%s\t%s\t\n", count(r.Failed), share(r.Failed, r.Requests))
	fmt.Fprintf(table, "unanswered\t%s\t%s\t\n", count(r.Unanswered), share(r.Unanswered, r.Requests))
	perSecond := 0.0
	if r.Seconds > 0 {
		perSecond = float64(r.Bytes) / r.Seconds
	}
	fmt.Fprintf(table, "bytes\t%s\t%s/s\t\n", count(r.Bytes), count(int64(perSecond)))
	_ = table.Flush() // into memory
	table = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nms\tmean\tp50\tp90\tp99\tp99.9\tmax\t\n")
	r.Latency.row(table, "latency")
	if r.Late != nil {
		r.Late.row(table, "schedule late by")
	}
	_ = table.Flush()
	if len(r.Failures) > 0 {
		b.WriteString("\nfailures, the first of each kind:\n")
		table = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range r.Failures {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", count(f.Count), f.Kind, f.First)
		}
		_ = table.Flush()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l *Latency) row(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", name, l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)
}

// count writes a number with a comma between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func share(n, of int64) string {
	if of == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(of))
}

// Progress describes the last second of a load.
type Progress struct {
	// Elapsed is the time since the load began, including its warm-up.
	Elapsed time.Duration
	// Warmup reports that the warm-up is not over: there are no latencies yet.
	Warmup bool
	// Rate is the number of answers without failure per second; during the warm-up, of
	// all answers.
	Rate    float64
	Latency Latency
	Failed  int64
	// Failure is a kind of failure that occurred; empty: none.
	Failure string
	// InFlight is the number of requests that wait for their answer.
	InFlight int64
	// Behind is the number of requests that are due in the open loop, but wait for a
	// free connection.
	Behind int64
}

// String returns the progress in one line.
func (p Progress) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%3.0f s  %9s/s", p.Elapsed.Seconds(), count(int64(p.Rate)))
	if p.Warmup {
		b.WriteString("  warming up")
	} else {
		fmt.Fprintf(&b, "  p50 %.3f ms  p99 %.3f ms  max %.3f ms", p.Latency.P50, p.Latency.P99, p.Latency.Max)
	}
	fmt.Fprintf(&b, "  in flight %d", p.InFlight)
	if p.Behind > 0 {
		fmt.Fprintf(&b, "  behind %s", count(p.Behind))
	}
	if p.Failed > 0 {
		fmt.Fprintf(&b, "  failed %s (%s)", count(p.Failed), p.Failure)
	}
	return b.String()
}
