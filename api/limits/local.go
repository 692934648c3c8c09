package limits

import (
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// local counts in this process.
type local struct {
	counts *otter.Cache[string, *rate.Limiter]
}

// forgetAfter is the time after which an unused count is dropped.
const forgetAfter = time.Hour

func newLocal(maxCounts int) (*local, error) {
	counts, err := otter.New(&otter.Options[string, *rate.Limiter]{
		MaximumSize:      maxCounts,
		ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](forgetAfter),
	})
	if err != nil {
		return nil, err
	}
	return &local{counts: counts}, nil
}

func (l *local) close() {
	l.counts.InvalidateAll()
	l.counts.StopAllGoroutines()
}

// take counts one request under a key, if the rate allows it.
func (l *local) take(key string, limit Rate, now time.Time) result {
	each := limit.Period / time.Duration(limit.Count)
	counted, _ := l.counts.ComputeIfAbsent(key+" "+limit.String(), func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(each), limit.Burst), false
	})
	allowed := counted.AllowN(now, 1)
	tokens := counted.TokensAt(now)
	r := result{
		Allowed: allowed, Remaining: max(0, int(tokens)),
		Reset: time.Duration((float64(limit.Burst) - tokens) * float64(each)),
	}
	if !allowed {
		r.RetryAfter = time.Duration((1 - tokens) * float64(each))
	}
	return r
}
