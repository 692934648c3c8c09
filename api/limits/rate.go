package limits

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests per period.
type Rate struct {
	// Count is the number of requests in each period, spread evenly: 1 to 1,000,000.
	Count int
	// Period is 1 ms to 24 h.
	Period time.Duration
	// Burst is the number of requests that may come at once after a pause: 1 to
	// 1,000,000. ParseRule sets it to Count where the rule gives none.
	Burst int
}

// Bounds of a rate.
const (
	maxCount  = 1_000_000
	maxPeriod = 24 * time.Hour
)

// Check returns the fault of the rate, or nil.
func (r Rate) Check() error {
	if r.Count < 1 || r.Count > maxCount || r.Period < time.Millisecond || r.Period > maxPeriod || r.Burst < 1 || r.Burst > maxCount {
		return fmt.Errorf("rate of %d in %v, %d at once: want 1 to %d, in 1ms to %v, and a burst of 1 to %d", r.Count, r.Period, r.Burst, maxCount, maxPeriod, maxCount)
	}
	return nil
}

// String returns the rate as ParseRule reads it.
func (r Rate) String() string {
	period := r.Period.String()
	switch period {
	case "1s", "1m0s", "1h0m0s":
		period = period[1:2]
	}
	return strconv.Itoa(r.Count) + "/" + period
}

// parseRate parses a rate: 100/s, 5/m, 1000/h, or 3/10s.
func parseRate(text string) (Rate, error) {
	count, period, found := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if !found || err != nil || n < 1 || n > maxCount {
		return Rate{}, fmt.Errorf("rate %q: want a number from 1 to %d, a slash and a time, such as 100/s, 5/m or 3/10s", text, maxCount)
	}
	if period == "s" || period == "m" || period == "h" {
		period = "1" + period
	}
	d, err := time.ParseDuration(period)
	if err == nil && (d < time.Millisecond || d > maxPeriod) {
		err = errors.New("out of range")
	}
	if err != nil {
		return Rate{}, fmt.Errorf("rate %q: want a time from 1ms to 24h after the slash, such as s, m, h or 10s", text)
	}
	return Rate{Count: n, Period: d, Burst: n}, nil
}
