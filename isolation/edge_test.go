package isolation

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport/corpus"
)

// scopes are those of compositions that pay.
func scopes() []string { return []string{"payments:write", "vouchers:write"} }

const payment = `{"user_id":1,"item_id":1,"gateway":"A","amount":500}`

// One key calls a limited route below each version in turn. All calls count together, and another key has its own rate.
func TestRateRulesCountEveryVersion(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--limit", "3/m per key on POST /payments")
	mallory, ada := "X-Api-Key: "+s.key("mallory", scopes()...), "X-Api-Key: "+s.key("ada", scopes()...)
	for i, path := range []string{"/payments", "/v1/payments", "/v2/payments", "/v3/payments", "/v1/payments", "/payments", "/v2/payments"} {
		want := http.StatusCreated
		if i >= 3 {
			want = http.StatusTooManyRequests
		}
		a := s.do(http.MethodPost, path, payment, mallory)
		assert.Equal(t, want, a.status, "call %d, %s: %s", i+1, path, a.body)
	}
	assert.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v3/payments", payment, ada).status)
}

// The caller of a composition knows its ID, and how IDs of steps were derived from it once. It can neither read nor cancel
// a step, not even under its true ID.
func TestStepsAreNotTheCallers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key := "X-Api-Key: " + s.key("mallory", scopes()...)
	a := s.do(http.MethodPost, "/v3/payments", strings.Replace(payment, "{", `{"voucher":"WELCOME10",`, 1), key)
	require.Equal(t, http.StatusCreated, a.status, a.body)
	id := a.header.Get("X-Request-Id")
	tried := 0
	for service, steps := range map[string][]string{"users": {"user"}, "items": {"item"}, "vouchers": {"voucher", "redeem"}, "payments": {"pay"}} {
		var ids []string
		for _, step := range steps {
			ids = append(ids, wire.DerivedID("step", id, step).String())
		}
		prefix := s.keys.Record(service, "")
		records, err := s.admin().Keys(t.Context(), prefix+"*").Result()
		require.NoError(t, err)
		for _, record := range records {
			own := strings.TrimPrefix(record, prefix)
			assert.NotContains(t, ids, own, "a client must not be able to compute it")
			if own != "cancelling" && !strings.Contains(own, ":") {
				ids = append(ids, own)
				tried++
			}
		}
		for _, id := range ids {
			for _, path := range []string{"", "?wait=1", "/events"} {
				a := s.do(http.MethodGet, "/requests/"+service+"."+id+path, "", key)
				assert.Equal(t, http.StatusNotFound, a.status, "%s%s: %s", service, path, a.body)
			}
			assert.Equal(t, http.StatusNotFound, s.do(http.MethodDelete, "/requests/"+service+"."+id, "", key).status, service)
		}
	}
	assert.Positive(t, tried, "steps have records")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/requests/compositions."+id, "", key).status, "the composition is the caller's")
}

// Each message of the corpus gets its status, a hostile one runs nothing, and the others notice nothing.
func TestHostileMessages(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t, "--auth", "none")
	body := strings.Replace(payment, `"user_id":1`, `"user_id":7`, 1)
	hostile, err := corpus.Load(corpus.Target{Get: "/echo/1", Post: "/payments", Body: body})
	require.NoError(t, err)
	honest, err := corpus.Load(corpus.Target{Get: "/echo/1", Post: "/payments", Body: payment})
	require.NoError(t, err)
	none := s.do(http.MethodGet, "/payments?user_id=7", "").body
	s.attack(fmt.Sprintf("%d hostile messages", len(hostile)), 4*time.Second, func(ctx context.Context) {
		refused := 0
		for i := 0; i < len(hostile) || ctx.Err() == nil; i++ {
			c := hostile[i%len(hostile)]
			if c.Honest {
				status, rest := s.raw(ctx, honest[i%len(hostile)].Bytes)
				assert.Equal(t, c.Status, status, "%s: %s", c.Name, rest)
				continue
			}
			refused++
			status, rest := s.raw(ctx, c.Bytes+"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
			if c.Status != 0 {
				assert.Equal(t, c.Status, status, c.Name)
			}
			assert.Equal(t, 4, status/100, c.Name)
			assert.Empty(t, rest, "%s: another answer", c.Name)
		}
		assert.GreaterOrEqual(t, refused, 250)
	})
	assert.Equal(t, none, s.do(http.MethodGet, "/payments?user_id=7", "").body, "a hostile message ran")
}

// raw sends bytes on a connection of their own. It returns the status of the first answer, and all bytes behind it if the
// gateway closes the connection.
func (s *stage) raw(ctx context.Context, bytes string) (status int, rest string) {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "tcp", s.addr)
	require.NoError(s.t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(conn, bytes) // the gateway may close the connection before it has read all
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		return 0, err.Error()
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err != nil || !response.Close {
		return response.StatusCode, ""
	}
	behind, _ := io.ReadAll(r) // a reset is as good as an end
	return response.StatusCode, string(behind)
}
