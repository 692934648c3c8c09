package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// The steps of a composition and the calls of handlers belong to the request that made them.
// Its caller can neither find nor read nor cancel them.
func TestStepsAndCallsAreNotTheCallers(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	var p parts
	boss := workers.NewService("boss")
	workers.Handle1(boss, "ASK", func(ctx context.Context, id int64) (made, error) {
		return workers.CallFor[made](ctx, "parts", "MAKE", id, wanted{Currency: "secret"})
	}, workers.Route("POST /boss/:id"))
	s.work(p.service(), notes(), boss)
	s.awaitRoute("/parts/1")
	s.awaitRoute("/notes/ready")
	composed := s.do(http.MethodPost, "/v1/things/7", "")
	require.Equal(t, http.StatusCreated, composed.status, composed.body)
	testsupport.Eventually(t, patience, "the boss is known", func() bool {
		return s.do(http.MethodPost, "/boss/8", "").status == http.StatusOK
	})
	records, err := s.conn.Redis().Keys(s.ctx, s.conn.Keys.Record("parts", "*")).Result()
	require.NoError(t, err)
	require.Len(t, records, 2)
	id := composed.header.Get("X-Request-Id")
	for _, record := range records {
		own := strings.TrimPrefix(record, s.conn.Keys.Record("parts", ""))
		assert.NotEqual(t, wire.DerivedID("step", id, "made").String(), own, "a client must not be able to compute it")
		for _, path := range []string{"", "/events"} {
			s.refused(http.StatusNotFound, "NOT_FOUND", http.MethodGet, "/requests/parts."+own+path, "")
		}
		s.refused(http.StatusNotFound, "NOT_FOUND", http.MethodDelete, "/requests/parts."+own, "")
	}
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/requests/compositions."+id, "").status)
	steps, err := s.conn.Redis().Keys(s.ctx, s.conn.Keys.Record("notes", "*")).Result()
	require.NoError(t, err)
	require.Len(t, steps, 1)
	testsupport.Eventually(t, patience, "the outcome of a step is not kept long after the composition", func() bool {
		return s.conn.Redis().PTTL(s.ctx, steps[0]).Val() <= wire.EndedStepStore
	})
	assert.Greater(t, s.conn.Redis().PTTL(s.ctx, steps[0]).Val(), wire.EndedStepStore-time.Minute)
}

// A principal that stores too much gets 429, and others do not.
func TestStoredLimit(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.StoredLimit = 32 << 10 })
	body := `{"name":"` + strings.Repeat("x", 5000) + `","size":1}`
	var got *answer
	for range 20 {
		if got = s.do(http.MethodPost, "/things", body); got.status != http.StatusCreated {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, got.status, got.body)
	assert.Contains(t, got.body, `"code":"STORAGE_LIMITED"`)
	assert.NotEmpty(t, got.header.Get("Retry-After"))
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/things/count", "").status, "reads store nothing")
}
