package limits

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how often something may happen.
type Rate struct {
	// Count may happen in each Period, evenly.
	Count  int
	Period time.Duration
	// Burst may happen at once, when nothing has for a while. Defaults to Count.
	Burst int
}

// The largest numbers of a rate.
const (
	mostCount  = 1_000_000
	mostPeriod = 24 * time.Hour
)

// Check says what is wrong with a rate, or nil.
func (r Rate) Check() error {
	if r.Count < 1 || r.Count > mostCount || r.Period < time.Millisecond || r.Period > mostPeriod || r.Burst < 1 || r.Burst > mostCount {
		return fmt.Errorf("rate of %d in %v, %d at once: want 1 to %d, in 1ms to %v, and a burst of 1 to %d", r.Count, r.Period, r.Burst, mostCount, mostPeriod, mostCount)
	}
	return nil
}

// String is the rate as ParseRate reads it.
func (r Rate) String() string {
	period := r.Period.String()
	switch period {
	case "1s", "1m0s", "1h0m0s":
		period = period[1:2]
	}
	return strconv.Itoa(r.Count) + "/" + period
}

// ParseRate reads a rate: 100/s, 5/m, 1000/h, or 3/10s.
func ParseRate(text string) (Rate, error) {
	count, period, found := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if !found || err != nil || n < 1 || n > mostCount {
		return Rate{}, fmt.Errorf("rate %q: want a number from 1 to %d, a slash and a time, such as 100/s, 5/m or 3/10s", text, mostCount)
	}
	if period == "s" || period == "m" || period == "h" {
		period = "1" + period
	}
	d, err := time.ParseDuration(period)
	if err == nil && (d < time.Millisecond || d > mostPeriod) {
		err = errors.New("out of range")
	}
	if err != nil {
		return Rate{}, fmt.Errorf("rate %q: want a time from 1ms to 24h behind the slash, such as s, m, h or 10s", text)
	}
	return Rate{Count: n, Period: d, Burst: n}, nil
}
