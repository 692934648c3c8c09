package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

// A cache entry may be written by anything that has the rights of its service: what a gateway
// would not take from a reply, it does not take from the cache.
func TestForgedCacheEntriesAreMisses(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", patiently, func(c *api.Config) { c.LocalBytes = -1 })
	s.work(s.library())
	s.awaitRoute("/library/0/public")
	s.do(http.MethodGet, "/library/7/public", "")
	rdb := s.conn.Redis()
	before, err := rdb.Keys(s.ctx, "*{library}:cached:*").Result()
	require.NoError(t, err)
	for _, key := range before {
		require.NoError(t, rdb.Del(s.ctx, key).Err())
	}
	s.do(http.MethodGet, "/library/8/public", "")
	var key string
	testsupport.Eventually(t, patience, "it is stored", func() bool {
		found, _ := rdb.Keys(s.ctx, "*{library}:cached:*").Result()
		if len(found) == 1 {
			key = found[0]
		}
		return key != ""
	})
	stored, err := rdb.Get(s.ctx, key).Result()
	require.NoError(t, err)
	words := strings.SplitN(stored, " ", 4) // nonces, life, ETag, and the rest
	forge := func(etag, status string) {
		text := words[0] + " " + words[1] + " " + etag + " " + status + ` - {"ok":true,"result":"forged"}`
		require.NoError(t, rdb.Set(s.ctx, key, text, 2*time.Hour+50*time.Second).Err())
	}
	forge(`"valid"`, "202")
	a := s.do(http.MethodGet, "/library/8/public", "")
	require.Equal(t, 202, a.status, "the test forges what gateways read")
	forged := 0
	for etag, statuses := range map[string][]string{
		`"valid"`: {"101", "100", "103", "204", "205", "304", "1000", "-1", "0", "x"}, `none`: {"200"}, `"a"b"`: {"200"}, "\"a\r\nX-Injected:1\"": {"200"},
	} {
		for _, status := range statuses {
			forge(etag, status)
			a := s.do(http.MethodGet, "/library/8/public", "")
			assert.Equal(t, http.StatusOK, a.status, status)
			assert.NotContains(t, a.body, "forged")
			assert.Empty(t, a.header.Get("X-Injected"))
			forged++
			testsupport.Eventually(t, patience, "the entry is replaced", func() bool {
				text, _ := rdb.Get(s.ctx, key).Result()
				return text != "" && !strings.Contains(text, "forged")
			})
		}
	}
	assert.InDelta(t, forged, s.metric(`mailroom_cache_invalid_total{service="library"}`), 0.1)
}
