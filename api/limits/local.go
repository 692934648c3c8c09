package limits

import (
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// local counts within this process.
type local struct {
	counts *otter.Cache[string, *rate.Limiter]
}

// forgetAfter is how long a count is kept that nobody asks for.
const forgetAfter = time.Hour

func newLocal(most int) (*local, error) {
	counts, err := otter.New(&otter.Options[string, *rate.Limiter]{
		MaximumSize:      most,
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

func (l *local) take(key string, r Rate, now time.Time) Result {
	each := r.Period / time.Duration(r.Count)
	counted, _ := l.counts.ComputeIfAbsent(key+" "+r.String(), func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(each), r.Burst), false
	})
	allowed := counted.AllowN(now, 1)
	tokens := counted.TokensAt(now)
	result := Result{
		Allowed: allowed, Remaining: max(0, int(tokens)),
		Reset: time.Duration((float64(r.Burst) - tokens) * float64(each)),
	}
	if !allowed {
		result.RetryAfter = time.Duration((1 - tokens) * float64(each))
	}
	return result
}
