package api_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/testsupport"
)

// The console of a gateway whose clients need a credential takes the form of its login.
func TestLoginWhereClientsNeedACredential(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Auth, c.Console = api.AuthRequired, true })
	o := &operator{s, s.scheme + s.addr, s.operate().client}
	o.login("console:read")
	assert.Equal(t, http.StatusOK, o.get("/console/recent").status)
	assert.Equal(t, http.StatusUnauthorized, s.do(http.MethodPost, "/things", `{}`).status)
	assert.Equal(t, http.StatusUnauthorized, s.do(http.MethodGet, "/metrics", "").status, "only the console")
}

// A composition is masked like its steps, and a request is found by its Idempotency-Key.
func TestMaskedCompositionByItsKey(t *testing.T) {
	t.Parallel()
	mask, err := api.ParseMask("*.*.user_id")
	require.NoError(t, err)
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Masks, c.Versions = []api.Mask{mask}, shop.Versions })
	s.sell()
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/v1/payments", `{"user_id":424242,"item_id":1,"gateway":"A","amount":5}`, "X-Request-Id: composed").status)
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":5}`, "Idempotency-Key: mine").status)
	o := s.operate()
	o.login("console:read")
	var page string
	testsupport.Eventually(t, patience, "composition and step are in the history", func() bool {
		page = o.get("/console/requests?id=composed&show=1").text
		return strings.Contains(page, "compositions POST") && strings.Contains(page, "payments PAY")
	})
	assert.NotContains(t, page, "424242")
	found := o.get("/console/requests?key=mine")
	assert.Equal(t, http.StatusOK, found.status)
	assert.Contains(t, found.text, "PAY")
	assert.Equal(t, http.StatusNotFound, o.get("/console/requests?key=other").status)
}

// The latest dead letters come first, also of thousands, and an action takes those that
// were there when it was confirmed.
func TestManyDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	bury := func(from, to int) {
		pipe := s.conn.Redis().Pipeline()
		for i := from; i < to; i++ {
			pipe.XAdd(s.ctx, &redis.XAddArgs{Stream: s.conn.Keys.Dead("things"), Values: []any{
				"v", "1", "id", fmt.Sprintf("01a21f00-0000-7000-8000-%012d", i), "action", "COUNT", "args", "[]", "error", fmt.Sprintf("reason %d.", i), "attempts", "5", "dead_at", "1",
			}})
		}
		_, err := pipe.Exec(s.ctx)
		require.NoError(t, err)
	}
	bury(0, 5100)
	o := s.operate()
	o.login("console:write")
	page := o.get("/console/dead/things").text
	assert.Contains(t, page, "reason 5099.")
	assert.Contains(t, page, "all 5000 of the last 5,000")
	token := html.UnescapeString(tokenField.FindStringSubmatch(page)[1])
	confirm := o.do(http.MethodPost, "/console/dead/things", url.Values{"token": {token}, "do": {"drop"}, "reason": {"reason 509"}}).text
	assert.Contains(t, confirm, "Drop 11 dead letters", "509 and 5090 to 5099")
	newest := regexp.MustCompile(`name="newest" value="([^"]+)"`).FindStringSubmatch(confirm)[1]
	bury(50900, 50910)
	done := o.do(http.MethodPost, "/console/dead/things", url.Values{"token": {token}, "do": {"drop"}, "reason": {"reason 509"}, "newest": {newest}, "confirm": {"yes"}})
	assert.Contains(t, done.text, "11 dead letters: dropped 11")
	assert.Contains(t, done.text, "reason 50909.")
	lines, err := admin.ReadAudit(s.ctx, s.conn, 10)
	require.NoError(t, err)
	assert.Len(t, lines, 1, "one line for one action")
}
