package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// library is a service with cached answers; it counts its runs.
func (s *stage) library() *workers.Service {
	library := workers.NewService("library")
	library.Use(s.count)
	runs := func(ctx context.Context, _ int64) (int64, error) { return s.runs.Load(), ctx.Err() }
	workers.Handle1(library, "GET_BOOK", runs, workers.Route("GET /library/:id"), workers.Cache(time.Minute, "book:{0}", "books"))
	workers.Handle1(library, "GET_PUBLIC", runs, workers.Route("GET /library/:id/public"), workers.Public(),
		workers.Cache(time.Minute), workers.StaleWhileRevalidate(time.Hour), workers.StaleIfError(2*time.Hour))
	workers.Handle1(library, "GET_BRIEF", runs, workers.Route("GET /library/:id/brief"),
		workers.Cache(20*time.Millisecond), workers.StaleIfError(time.Hour))
	workers.Handle1(library, "GET_MISSING", func(context.Context, int64) (int64, error) {
		return 0, workers.NotFound("no such book").WithDetails(map[string]int64{"big": 9007199254740993})
	}, workers.Route("GET /library/:id/missing"), workers.Cache(time.Minute))
	workers.Handle1(library, "GET_ONCE", func(ctx context.Context, id int64) (int64, error) {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
		}
		return runs(ctx, id)
	}, workers.Route("GET /library/:id/once"), workers.CollapseOnly())
	workers.Handle1(library, "LEND", func(context.Context, int64) (string, error) { return "lent", nil },
		workers.Route("POST /library/:id/lend"), workers.Invalidates("book:{0}"))
	workers.Handle1(library, "BURN", func(ctx context.Context, _ int64) (string, error) {
		workers.Invalidate(ctx, "books")
		return "", workers.Conflict("it does not burn")
	}, workers.Route("POST /library/:id/burn"))
	return library
}

func newLibrary(t *testing.T, change ...func(*api.Config)) *stage {
	t.Helper()
	s := startGateway(t, testsupport.Miniredis(t), "", append(change, patiently)...)
	s.work(s.library())
	s.awaitRoute("/library/0/public")
	return s
}

// patiently raises the cache timeout, for slow machines.
func patiently(c *api.Config) { c.CacheTimeout = patience }

// cacheStatus returns the header without its ttl.
func cacheStatus(a *answer) string {
	status := strings.TrimPrefix(a.header.Get("Cache-Status"), "mailroom; ")
	before, after, timed := strings.Cut(status, "; ttl=")
	if timed {
		_, detail, _ := strings.Cut(after, "; ")
		return before + "; " + detail
	}
	return status
}

func TestCachedAnswers(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	a := s.got(`1`, http.MethodGet, "/library/7", "")
	assert.Equal(t, "fwd=miss", cacheStatus(a))
	assert.Equal(t, "private, max-age=60", a.header.Get("Cache-Control"))
	assert.NotEmpty(t, a.header.Get("Server-Timing"))
	etag := a.header.Get("ETag")
	assert.Regexp(t, `^"[^"]+"$`, etag)

	testsupport.Eventually(t, patience, "it is stored", func() bool {
		return cacheStatus(s.got(`1`, http.MethodGet, "/library/7/", "")) == "hit; detail=near"
	})
	a = s.got(`1`, http.MethodGet, "/library/7", "")
	assert.Equal(t, etag, a.header.Get("ETag"))
	assert.Regexp(t, `^\d+$`, a.header.Get("Age"))
	assert.Empty(t, a.header.Get("Server-Timing"), "that was another request")
	assert.Empty(t, a.header.Get("Mailroom-Worker"))
	head := s.do(http.MethodHead, "/library/7", "")
	assert.Equal(t, "hit; detail=near", cacheStatus(head))
	assert.Equal(t, etag, head.header.Get("ETag"))

	for _, header := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		response, err := s.client.Do(s.request(http.MethodGet, "/library/7", "", "If-None-Match: "+header))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusNotModified, response.StatusCode)
		assert.Equal(t, etag, response.Header.Get("ETag"))
		assert.NotEmpty(t, response.Header.Get("Cache-Control"))
		assert.NotEmpty(t, response.Header.Get("X-Request-Id"))
	}
	s.got(`1`, http.MethodGet, "/library/7", "", `If-None-Match: "other"`)
	s.got(`2`, http.MethodGet, "/library/8", "")
	public := s.got(`3`, http.MethodGet, "/library/7/public", "")
	assert.Equal(t, "public, max-age=60, stale-while-revalidate=3600, stale-if-error=7200", public.header.Get("Cache-Control"))
}

// A caller cannot make a cached action run as often as it likes.
func TestNoCacheHasARate(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Cache-Control: no-cache", "Cache-Control: no-store", "Cache-Control: max-age=0", "Pragma: no-cache"} {
		s := newLibrary(t, func(c *api.Config) { c.NoCacheRate = api.Rate{Count: 1, Period: time.Hour, Burst: 2} })
		s.got(`1`, http.MethodGet, "/library/7", "")
		testsupport.Eventually(t, patience, "it is stored", func() bool {
			return cacheStatus(s.do(http.MethodGet, "/library/7", "", "Cache-Control: only-if-cached")) == "hit; detail=near"
		})
		s.got(`2`, http.MethodGet, "/library/7", "", header)
		s.got(`3`, http.MethodGet, "/library/7", "", header)
		for range 5 {
			assert.Contains(t, cacheStatus(s.do(http.MethodGet, "/library/7", "", header)), "hit", header)
		}
		assert.EqualValues(t, 3, s.runs.Load(), header)
	}
	s := newLibrary(t, func(c *api.Config) { c.NoCacheRate = api.Rate{Count: -1} })
	s.got(`1`, http.MethodGet, "/library/7", "", "Cache-Control: no-cache")
	testsupport.Eventually(t, patience, "it is stored", func() bool {
		return cacheStatus(s.do(http.MethodGet, "/library/7", "", "Cache-Control: no-cache")) == "hit; detail=near"
	})
	assert.EqualValues(t, 1, s.runs.Load())
}

func TestCacheControlOfRequests(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	none := s.refused(504, "TIMEOUT", http.MethodGet, "/library/7", "", "Cache-Control: only-if-cached")
	assert.Equal(t, "mailroom; detail=not-stored", none.header.Get("Cache-Status"))
	assert.Zero(t, s.runs.Load())
	s.got(`1`, http.MethodGet, "/library/7", "")
	testsupport.Eventually(t, patience, "it is stored", func() bool {
		return cacheStatus(s.do(http.MethodGet, "/library/7", "", "Cache-Control: only-if-cached")) == "hit; detail=near"
	})
	for i, header := range []string{"Cache-Control: no-cache", "Cache-Control: Max-Age=0", "Pragma: no-cache"} {
		a := s.got([]string{`2`, `3`, `4`}[i], http.MethodGet, "/library/7", "", header)
		assert.Equal(t, "fwd=request", cacheStatus(a))
	}
	testsupport.Eventually(t, patience, "the entry is the newest", func() bool {
		return string(s.do(http.MethodGet, "/library/7", "").Result) == `4`
	})
	a := s.got(`5`, http.MethodGet, "/library/7", "", "Cache-Control: no-store")
	assert.Equal(t, "fwd=bypass; detail=no-store", cacheStatus(a))
	s.got(`4`, http.MethodGet, "/library/7", "", "Cache-Control: max-age=60")
	for _, headers := range [][]string{
		{"Cache-Control: only-if-cached, no-store"},
		{"Cache-Control: max-stale=1", "Cache-Control: only-if-cached"}, // each line counts
	} {
		none := s.refused(504, "TIMEOUT", http.MethodGet, "/library/8", "", headers...)
		assert.Equal(t, "detail=not-stored", cacheStatus(none))
	}
	etag := s.do(http.MethodGet, "/library/7", "").header.Get("Etag")
	response, err := s.client.Do(s.request(http.MethodGet, "/library/7", "", `If-None-Match: "other"`, "If-None-Match: "+etag))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusNotModified, response.StatusCode)
	assert.EqualValues(t, 5, s.runs.Load())
}

func TestWritesInvalidateBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	other := startGateway(t, s.url, "", patiently)
	other.awaitRoute("/library/0/public")
	s.runs.Store(0)
	for round := range 20 {
		before := string(s.do(http.MethodGet, "/library/7", "").Result)
		s.got(`"lent"`, http.MethodPost, "/library/7/lend", "")
		after := s.do(http.MethodGet, "/library/7", "")
		assert.NotEqual(t, before, string(after.Result), "round %d: %s", round, after.header.Get("Cache-Status"))
		s.refused(409, "CONFLICT", http.MethodPost, "/library/7/burn", "")
		assert.NotEqual(t, string(after.Result), string(s.do(http.MethodGet, "/library/7", "").Result), "a failed write may have changed something")
	}
	// The other gateway drops its local entry by a message, or after a second.
	old := string(other.do(http.MethodGet, "/library/7", "").Result)
	s.got(`"lent"`, http.MethodPost, "/library/7/lend", "")
	began := time.Now()
	testsupport.Eventually(t, patience, "the other gateway shows it", func() bool {
		return string(other.do(http.MethodGet, "/library/7", "").Result) != old
	})
	assert.Less(t, time.Since(began), 5*time.Second)
}

func TestSharedErrorsHaveTheIDsOfTheirCaller(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			a, err := s.send(s.request(http.MethodGet, "/library/7/missing", "", "X-Request-Id: mine"))
			if err != nil {
				t.Error(err)
				return
			}
			assert.Equal(t, http.StatusNotFound, a.status)
			assert.Equal(t, "mine", a.Error.RequestID)
			assert.JSONEq(t, `{"big":9007199254740993}`, string(a.Error.Details))
			assert.NotEmpty(t, a.Error.CorrelationID)
			assert.Equal(t, "GET_MISSING", a.Error.Action)
			assert.Equal(t, "no-store", a.header.Get("Cache-Control"))
		})
	}
	calls.Wait()
	// Another request: callers may still join the last one for a moment.
	a := s.refused(404, "NOT_FOUND", http.MethodGet, "/library/8/missing", "")
	assert.Empty(t, a.Error.CorrelationID)
}

func TestIdenticalCallsRunOnceOverGateways(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	other := startGateway(t, s.url, "", patiently)
	other.awaitRoute("/library/0/public")
	s.runs.Store(0)
	var calls sync.WaitGroup
	for range 50 {
		for _, gateway := range []*stage{s, other} {
			calls.Go(func() {
				a, err := gateway.send(gateway.request(http.MethodGet, "/library/7/once", ""))
				if assert.NoError(t, err) {
					assert.Equal(t, http.StatusOK, a.status, a.body)
					assert.Contains(t, []string{"fwd=miss", "fwd=miss; collapsed"}, cacheStatus(a))
				}
			})
		}
	}
	calls.Wait()
	assert.Less(t, s.runs.Load(), int64(4), "one run, unless it took a third of a second to send all calls")
}

func TestStaleAnswersWithoutAWorker(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", patiently)
	stop := s.work(s.library())
	s.awaitRoute("/library/0/public")
	s.got(`1`, http.MethodGet, "/library/7/brief", "")
	stop()
	testsupport.Eventually(t, patience, "the entry is stale", func() bool {
		a := s.do(http.MethodGet, "/library/7/brief", "")
		require.Equal(t, http.StatusOK, a.status, a.body)
		return cacheStatus(a) == "fwd=stale; detail=error"
	})
	a := s.refused(503, "UNAVAILABLE", http.MethodGet, "/library/8/brief", "")
	assert.Equal(t, "fwd=miss", cacheStatus(a))
}

func TestInvalidateByCall(t *testing.T) {
	t.Parallel()
	s := newLibrary(t)
	s.got(`1`, http.MethodGet, "/library/7", "")
	reply := s.callBus("library", "INVALIDATE", `["books"]`)
	assert.Equal(t, `{"ok":true,"result":{"invalidated":["books"]}}`, reply)
	testsupport.Eventually(t, patience, "it runs again", func() bool {
		return string(s.do(http.MethodGet, "/library/7", "").Result) != `1`
	})
	for _, args := range []string{`[]`, `[7]`, `["two words"]`, `[""]`} {
		assert.Contains(t, s.callBus("library", "INVALIDATE", args), `"code":"BAD_REQUEST"`)
	}
}

func TestSeparateCacheRedisMayFail(t *testing.T) {
	t.Parallel()
	own := testsupport.StartRedis(t)
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.CacheRedisURL, c.LocalBytes = own.URL(), -1 })
	var behind atomic.Int64
	s.workWith(workers.Config{CacheRedisURL: own.URL(), OnCacheBehind: func(n int) { behind.Store(int64(n)) }}, s.library())
	s.awaitRoute("/library/0/public")
	testsupport.Eventually(t, patience, "it is stored there", func() bool {
		return cacheStatus(s.do(http.MethodGet, "/library/7", "")) == "hit; detail=shared"
	})
	own.Kill()
	for range 3 {
		assert.Equal(t, "fwd=bypass", cacheStatus(s.do(http.MethodGet, "/library/7", "")))
		s.got(`"lent"`, http.MethodPost, "/library/7/lend", "")
	}
	assert.EqualValues(t, 1, behind.Load(), "book:7")
	own.Restart()
	testsupport.Eventually(t, patience, "it is used again", func() bool {
		return cacheStatus(s.do(http.MethodGet, "/library/7", "")) == "hit; detail=shared"
	})
	testsupport.Eventually(t, patience, "the worker has caught up", func() bool { return behind.Load() == 0 })
}

// A proxy may store a public answer only where no credential is needed, and a browser must
// not give the answer of one credential to another.
func TestCacheHeadersForBrowsersAndProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		auth          api.Auth
		control, vary string
	}{
		{api.AuthNone, "public, max-age=60", ""},
		{api.AuthOptional, "public, max-age=60", "Authorization, X-API-Key"},
		{api.AuthRequired, "private, max-age=60", "Authorization, X-API-Key"},
	} {
		s := startGateway(t, testsupport.Miniredis(t), "", patiently, with(c.auth))
		s.work(s.library())
		header, _ := s.key("")
		testsupport.Eventually(t, patience, "it is served", func() bool {
			return s.do(http.MethodGet, "/library/0/public", "", header).status == http.StatusOK
		})
		a := s.do(http.MethodGet, "/library/7/public", "", header)
		assert.True(t, strings.HasPrefix(a.header.Get("Cache-Control"), c.control), c.auth)
		assert.Equal(t, c.vary, a.header.Get("Vary"), c.auth)
		etag := a.header.Get("ETag")
		r, err := s.client.Do(s.request(http.MethodGet, "/library/7/public", "", header, "If-None-Match: "+etag))
		require.NoError(t, err)
		_ = r.Body.Close()
		assert.Equal(t, http.StatusNotModified, r.StatusCode)
		assert.Equal(t, c.vary, r.Header.Get("Vary"), c.auth)
	}
	s := newGuarded(t, api.AuthOptional)
	header, _ := s.key("", "things:read")
	assert.Equal(t, "private, max-age=60", s.do(http.MethodGet, "/guarded/cached/1", "", header).header.Get("Cache-Control"))
}

// A local cache entry does not count as a call in flight. The size limit of the route
// applies to it.
func TestLimitsOfLocalCacheEntries(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", patiently, func(c *api.Config) {
		c.InFlight = 1
		c.Sizes = []api.SizeRule{{Route: "GET /slow/cached/short", Response: 10}}
	})
	entered, release := s.hold()
	testsupport.Eventually(t, patience, "there is a local entry", func() bool {
		return cacheStatus(s.do(http.MethodGet, "/slow/cached", "")) == "hit; detail=near"
	})
	held := make(chan int, 1)
	go func() {
		a, err := s.send(s.request(http.MethodPost, "/slow/hold", ""))
		if err != nil {
			t.Error(err)
			held <- 0
			return
		}
		held <- a.status
	}()
	<-entered
	s.refused(503, "OVERLOADED", http.MethodPost, "/slow/hold", "")
	s.got(`1`, http.MethodGet, "/slow/cached", "")
	s.refused(503, "OVERLOADED", http.MethodGet, "/slow/cached", "", "Cache-Control: no-cache")
	close(release)
	assert.Equal(t, 200, <-held)
	limited := s.refused(500, "INTERNAL", http.MethodGet, "/slow/cached/short", "")
	assert.Contains(t, limited.Error.Message, "larger than this route may give")
	s.got(`1`, http.MethodGet, "/slow/cached", "")
}
