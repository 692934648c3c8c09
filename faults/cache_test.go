package faults

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared is the answer to one of many identical reads.
type shared struct {
	gateway int
	status  int
	body    string
	ended   time.Time
	err     error
}

// share sends identical reads to all gateways at once. meanwhile, if not nil, runs while
// they wait.
func (s *stage) share(n, callers int, query string, meanwhile func()) []shared {
	s.t.Helper()
	answers := make([]shared, callers)
	var asking sync.WaitGroup
	for i := range answers {
		a := &answers[i]
		a.gateway = i % len(s.listen)
		asking.Go(func() {
			url := fmt.Sprintf("http://%s/things/share/%d?%s", s.listen[a.gateway], n, query)
			req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				a.err = err
				return
			}
			res, err := s.client.Do(req)
			if err != nil {
				a.err = err
				return
			}
			defer func() { _ = res.Body.Close() }()
			text, err := io.ReadAll(res.Body)
			a.status, a.body, a.err, a.ended = res.StatusCode, string(text), err, time.Now()
		})
	}
	if meanwhile != nil {
		meanwhile()
	}
	asking.Wait()
	return answers
}

// shares counts the runs of a read, and returns when the last one ended.
func (s *stage) shares(n int) (runs int, ended time.Time) {
	for _, e := range s.ledger.read(s.t) {
		if e.n != strconv.Itoa(n) {
			continue
		}
		switch e.what {
		case "run":
			runs++
		case "end":
			ended = time.Unix(0, e.at)
		}
	}
	return runs, ended
}

// Identical reads at the same time run once, over all gateways.
func TestStampede(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 3, idle: calmIdleLimit})
	callers := times(300, 1000)
	s.share(1, 3, "ms=1", nil) // so that all are connected
	began := time.Now()
	answers := s.share(2, callers, "ms=200", nil)
	runs, ended := s.shares(2)
	assert.Equal(t, 1, runs)
	var last time.Duration
	for _, a := range answers {
		require.NoError(t, a.err)
		assert.Equal(t, http.StatusOK, a.status, a.body)
		assert.Equal(t, answers[0].body, a.body)
		last = max(last, a.ended.Sub(ended))
	}
	t.Logf("stampede: %d callers at 3 gateways, %d run, all answered %v after its end, %v after the first was asked",
		callers, runs, last.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// All callers that wait get the same failure; none of them tries again.
func TestStampedeThatFails(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 3, idle: calmIdleLimit})
	callers := times(300, 1000)
	s.share(1, 3, "ms=1", nil)
	answers := s.share(2, callers, "ms=2500&do=fail", nil)
	runs, _ := s.shares(2)
	assert.Equal(t, 1, runs)
	for _, a := range answers {
		require.NoError(t, a.err)
		assert.Equal(t, http.StatusTeapot, a.status, a.body)
		assert.Contains(t, a.body, `"code":"ASKED_TO_FAIL"`)
	}
}

// A leading gateway is killed, and one of the waiting gateways takes its place.
func TestStampedeWhoseLeaderDies(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 3})
	callers := times(300, 1000)
	s.share(1, 3, "ms=1", nil)
	leading := make(chan struct{})
	go func() { // alone, so that its gateway leads
		defer close(leading)
		_ = s.status(http.MethodGet, 0, "/things/share/2?ms=700")
	}()
	s.running(2)
	answers := s.share(2, callers, "ms=700", func() {
		s.pass(300 * time.Millisecond) // until they wait
		s.gateways[0].Kill()
	})
	<-leading
	runs, ended := s.shares(2)
	assert.LessOrEqual(t, runs, 2)
	var last time.Duration
	for _, a := range answers {
		if a.gateway == 0 {
			continue
		}
		require.NoError(t, a.err)
		assert.Equal(t, http.StatusOK, a.status, a.body)
		last = max(last, a.ended.Sub(ended))
	}
	t.Logf("leader-death: %d callers, %d runs, all at living gateways answered, %v after the last run's end", callers, runs, last.Round(time.Millisecond))
	s.gateways[0] = s.gateway(0)
	s.serves(0)
}
