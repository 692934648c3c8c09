package metrics_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/internal/metrics"
)

// Names that a service invents make no more series than the limit.
func TestNamesOverTheLimitShareSeries(t *testing.T) {
	t.Parallel()
	made := make(map[string]int)
	actions := metrics.NewActions(func(service, action string) string {
		made[service+" "+action]++
		return service + " " + action
	})
	for i := range 1000 {
		for range 2 {
			actions.Of("users", fmt.Sprintf("ACTION_%d", i))
			actions.Of(fmt.Sprintf("service-%d", i), "GET")
		}
	}
	assert.Equal(t, "users ACTION_7", actions.Of("users", "ACTION_7"))
	assert.Equal(t, "users other", actions.Of("users", "ACTION_999"))
	assert.Equal(t, "other other", actions.Of("service-999", "GET"))
	assert.Len(t, made, 200+1+499+1)
	for names, times := range made {
		assert.Equal(t, 1, times, names)
	}
}

func TestActionsOfManyGoroutines(t *testing.T) {
	t.Parallel()
	actions := metrics.NewActions(func(service, action string) *string {
		name := service + action
		return &name
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 300 {
				assert.Equal(t, fmt.Sprintf("users%d", i%100), *actions.Of("users", strconv.Itoa(i%100)))
			}
		})
	}
	all.Wait()
}

func TestCodes(t *testing.T) {
	t.Parallel()
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "n_total", Help: "n"}, []string{"service", "code"})
	codes := metrics.NewCodes(vec, "users")
	for _, status := range []int{200, 200, 404, 0, 1000} {
		codes.Inc(status)
	}
	assert.InDelta(t, 2, testutil.ToFloat64(vec.WithLabelValues("users", "200")), 0)
	assert.InDelta(t, 1, testutil.ToFloat64(vec.WithLabelValues("users", "404")), 0)
	assert.InDelta(t, 2, testutil.ToFloat64(vec.WithLabelValues("users", "500")), 0, "a status that is none")
	assert.Equal(t, 3, testutil.CollectAndCount(vec))
}
