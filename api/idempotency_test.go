package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestOneKeyRunsOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const key = "Idempotency-Key: order-1"
	first := s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", key)
	assert.Empty(t, first.header.Get("Idempotency-Replayed"))
	again := s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", `Idempotency-Key: "order-1"`)
	assert.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	assert.NotEqual(t, first.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"), "they are two calls")
	assert.EqualValues(t, 1, s.runs.Load())

	s.refused(422, "IDEMPOTENCY_KEY_REUSED", http.MethodPost, "/things/8/touch", "", key)
	assert.EqualValues(t, 1, s.runs.Load())
	s.got(`{"id":8}`, http.MethodPost, "/things/8/touch", "", "Idempotency-Key: order-2")
	s.got(`{"id":7}`, http.MethodDelete, "/things/7", "", key)
	assert.EqualValues(t, 3, s.runs.Load(), "another key, and another action, are other requests")

	// A failure is an outcome too, with its status, details and IDs.
	// The request that it names is the one that ran.
	const failing = `{"code":"SOLD_OUT","status":409}`
	s.refused(409, "SOLD_OUT", http.MethodPost, "/things/fail", failing, "Idempotency-Key: f", "X-Request-Id: first")
	response, err := s.client.Do(s.request(http.MethodPost, "/things/fail", failing, "Idempotency-Key: f", "X-Request-Id: second"))
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	a, err := read(response)
	require.NoError(t, err)
	assert.Equal(t, http.StatusConflict, a.status)
	assert.Equal(t, "second", a.header.Get("X-Request-Id"))
	assert.Equal(t, "first", a.Error.RequestID)
	assert.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
	for range 2 {
		a = s.do(http.MethodPost, "/things", fits, "Idempotency-Key: c")
		assert.Equal(t, http.StatusCreated, a.status)
		assert.Equal(t, "/things/7", a.header.Get("Location"))
	}
	assert.EqualValues(t, 5, s.runs.Load())

	// A safe route ignores the key.
	for range 2 {
		a = s.got(`{"id":5}`, http.MethodGet, "/things/5", "", key)
		assert.Empty(t, a.header.Get("Idempotency-Replayed"))
	}
	assert.EqualValues(t, 7, s.runs.Load())
}

func TestKeysOutliveOutcomesOfOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", "Idempotency-Key: a")
	keys := s.conn.Redis().Keys(s.ctx, s.conn.Keys.Record("things", "*")).Val()
	require.Len(t, keys, 1)
	ttl := s.conn.Redis().TTL(s.ctx, keys[0]).Val()
	assert.InDelta(t, 24, ttl.Hours(), 0.1)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab]`, strings.TrimPrefix(keys[0], s.conn.Keys.Record("things", "")), "a UUIDv8")
}

func TestBadKeysAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, key := range []string{`""`, "a b", strings.Repeat("x", 256), "caf\xc3\xa9"} {
		a := s.refused(400, "BAD_REQUEST", http.MethodPost, "/things/7/touch", "", "Idempotency-Key: "+key)
		assert.Equal(t, []string{"Idempotency-Key"}, a.faults(t), key)
	}
	s.got(`{"id":7}`, http.MethodPost, "/things/7/touch", "", "Idempotency-Key: "+strings.Repeat("x", 255))
	assert.EqualValues(t, 1, s.runs.Load())
}

// A request that never ran frees its key.
func TestRefusedCallFreesItsKey(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	stop := s.work(s.things())
	s.awaitRoute("/things/count")
	stop()
	s.awaitNoWorker("/things/count")
	const key = "Idempotency-Key: k"
	s.refused(503, "UNAVAILABLE", http.MethodPost, "/things/7/touch", "", key)
	s.work(s.things())
	s.awaitRoute("/things/count")
	a := s.got(`{"id":8}`, http.MethodPost, "/things/8/touch", "", key)
	assert.Empty(t, a.header.Get("Idempotency-Replayed"))
}
