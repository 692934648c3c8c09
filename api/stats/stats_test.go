package stats

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

// answered counts requests of users GET_USER that were answered.
func answered(g *metrics.Gateway, n, status int, run time.Duration) {
	for range n {
		in := exchange.NewMessage(nil, "")
		in.Service, in.Action = "users", "GET_USER"
		in.Outcome = exchange.Outcome{Status: status, Ran: true, Queue: time.Millisecond, Run: run, Total: run + 2*time.Millisecond}
		g.Ended(&in)
	}
}

func TestStatisticsOfTheLastMinute(t *testing.T) {
	t.Parallel()
	g := metrics.New()
	s := newSampler(g.Traffic())
	require.NoError(t, s.sample())
	answered(g, 99, http.StatusOK, 10*time.Millisecond)
	answered(g, 1, http.StatusInternalServerError, 2*time.Second)
	g.Step(&metrics.Step{Composition: "POST /v2/payments", Name: "pay", Service: "payments", Action: "PAY", Status: 503, Run: time.Second, Total: time.Second})
	require.NoError(t, s.sample())
	services := s.services()
	a := services["users"].Actions["GET_USER"]
	assert.Equal(t, uint64(100), a.Requests)
	assert.InDelta(t, 0.01, a.ErrorRatio(), 1e-9)
	assert.InDelta(t, 100.0/60, a.Rate(), 1e-9)
	assert.InEpsilon(t, 10*time.Millisecond, a.Run.Quantile(0.5), 0.1)
	assert.InEpsilon(t, 2*time.Second, a.Run.Quantile(0.995), 0.2)
	assert.InEpsilon(t, time.Millisecond, a.Queue.Quantile(0.99), 0.2)
	assert.Equal(t, uint64(100), services["users"].Points[0].Requests)
	assert.NotContains(t, services, "compositions", "no composition was answered")
	assert.Equal(t, uint64(1), services["payments"].Actions["PAY"].Errors, "a step is a request to its service")
	assert.InEpsilon(t, time.Second, services["payments"].Actions["PAY"].Run.Quantile(0.5), 0.2)

	for range ticks {
		require.NoError(t, s.sample())
	}
	services = s.services()
	assert.Empty(t, services["users"].Actions, "a minute later")
	require.Len(t, services["users"].Points, 5)
	assert.Equal(t, Point{Requests: 100, Errors: 1}, services["users"].Points[0])
	for range Points * 3 {
		require.NoError(t, s.sample())
	}
	assert.Empty(t, s.services(), "a quarter of an hour later")
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	assert.Zero(t, Histogram{}.Quantile(0.5))
	assert.Equal(t, time.Microsecond, Histogram{zero: 5}.Quantile(0.99))
	h := Histogram{0: 1, 4: 1} // up to 1 s, up to 2 s
	assert.LessOrEqual(t, h.Quantile(0.5), time.Second)
	assert.Greater(t, h.Quantile(0.51), time.Second)
	assert.LessOrEqual(t, h.Quantile(1), 2*time.Second)
}

// Other gateways read what one has stored, and forget it when it stops.
func TestGatewaysShareStatistics(t *testing.T) {
	t.Parallel()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	var publishers []*Publisher
	for _, id := range []string{"api.a", "api.b"} {
		g := metrics.New()
		p := NewPublisher(conn, id, g.Traffic(), func() bool { return true })
		p.publish(t.Context())
		answered(g, 10, http.StatusOK, time.Millisecond)
		p.publish(t.Context())
		publishers = append(publishers, p)
	}
	all, err := publishers[0].All(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	merged := Merge(all)
	assert.Equal(t, uint64(20), merged.Services["users"].All().Requests)
	assert.Equal(t, uint64(20), merged.Services["users"].Points[Points-1].Requests)
	assert.Equal(t, uint64(20), merged.Services["users"].All().Run.Count())

	publishers[1].remove(t.Context())
	all, err = publishers[0].All(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, 1)

	require.NoError(t, conn.Redis().Set(t.Context(), conn.Keys.Gateway("api.a"), "{", 0).Err())
	all, err = publishers[0].All(t.Context())
	require.NoError(t, err, "what cannot be read is left out")
	assert.Len(t, all, 1)
}

func TestHistogramAsJSON(t *testing.T) {
	t.Parallel()
	h := Histogram{zero: 1, -3: 7, 12: 9}
	text, err := json.Marshal(h)
	require.NoError(t, err)
	assert.Equal(t, `[[-64,1],[-3,7],[12,9]]`, string(text))
	var read Histogram
	require.NoError(t, json.Unmarshal(text, &read))
	assert.Equal(t, h, read)
}
