package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// newShop starts a gateway with the versions of the shop and its services.
func newShop(t *testing.T, url string) *stage {
	t.Helper()
	s := startGateway(t, url, "", func(c *api.Config) { c.Versions = shop.Versions })
	s.sell()
	return s
}

// sell runs the services of the shop.
func (s *stage) sell() {
	s.t.Helper()
	example := shop.New(s.conn.Redis(), wire.DefaultNamespace)
	require.NoError(s.t, example.Seed(s.t.Context()))
	s.work(example.Services()...)
	for _, path := range []string{"/users", "/items", "/vouchers/USED10", "/payments?user_id=1"} {
		s.awaitRoute(path)
	}
}

// The versions of POST /payments: each version, provider, user, item and voucher.
func TestVersionsOfTheShop(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	for _, version := range []string{"", "/v1", "/v2", "/v3"} {
		for _, gateway := range []string{"A", "B", "C"} {
			for _, user := range []int{1, 2} {
				for _, item := range []int{1, 2} {
					for _, voucher := range []string{"", "WELCOME10", "USED10"} {
						s.pays(version, gateway, user, item, voucher)
					}
				}
			}
		}
	}
}

func (s *stage) pays(version, gateway string, user, item int, voucher string) {
	s.t.Helper()
	// Fresh records for each row.
	record := wire.DefaultNamespace + ":{vouchers}:shop:record:WELCOME10"
	require.NoError(s.t, s.conn.Redis().HSet(s.ctx, record, "used", 0).Err())
	require.NoError(s.t, s.conn.Redis().HDel(s.ctx, record, "payment_id").Err())
	status, code := http.StatusCreated, ""
	switch {
	case version == "/v1" && gateway != "A", version == "/v3" && gateway == "C":
		status, code = http.StatusNotImplemented, "NOT_SUPPORTED"
	case (version == "/v2" || version == "/v3") && user == 2:
		status, code = http.StatusForbidden, "USER_SUSPENDED"
	case version == "/v3" && item == 2:
		status, code = http.StatusConflict, "ITEM_UNAVAILABLE"
	case version == "/v3" && voucher == "USED10":
		status, code = http.StatusConflict, "VOUCHER_USED"
	}
	body := map[string]any{"user_id": user, "item_id": item, "gateway": gateway, "amount": 100}
	if voucher != "" {
		body["voucher"] = voucher
	}
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	got := s.do(http.MethodPost, version+"/payments", string(text))
	row := fmt.Sprintf("%s gateway %s, user %d, item %d, voucher %q: %s", version, gateway, user, item, voucher, got.body)
	several := version == "/v3" && code != "" && code != "NOT_SUPPORTED" // checks run together: any of those that fail is the answer
	if !several {
		assert.Equal(s.t, status, got.status, row)
		assert.Contains(s.t, got.body, code, row)
	} else {
		wrong := []string{}
		if user == 2 {
			wrong = append(wrong, "USER_SUSPENDED")
		}
		if item == 2 {
			wrong = append(wrong, "ITEM_UNAVAILABLE")
		}
		if voucher == "USED10" {
			wrong = append(wrong, "VOUCHER_USED")
		}
		assert.True(s.t, anyIn(got.body, wrong), row)
		assert.Contains(s.t, []int{http.StatusForbidden, http.StatusConflict}, got.status, row)
	}
	used, err := s.conn.Redis().HGet(s.ctx, record, "used").Result()
	require.NoError(s.t, err)
	redeemed := version == "/v3" && code == "" && voucher == "WELCOME10"
	assert.Equal(s.t, redeemed, used == "1", row)
	if code == "" {
		assert.Contains(s.t, got.header.Get("Location"), "/payments/", row)
	}
}

func anyIn(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func TestVersionsFallThrough(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	for path, status := range map[string]int{
		"/v1/users/1": 200, "/v3/items/1": 200, "/v2/payments/9999": 404, "/v4/users/1": 404, "/v3": 404, "/v3/": 404, "/v3/nothing": 404, "/v03/users/1": 404,
	} {
		got := s.do(http.MethodGet, path, "")
		assert.Equal(t, status, got.status, "%s: %s", path, got.body)
	}
	got := s.do(http.MethodPut, "/v3/payments", "{}")
	assert.Equal(t, http.StatusMethodNotAllowed, got.status)
	assert.Equal(t, "GET, HEAD, POST, OPTIONS", got.header.Get("Allow"), "of both")
	got = s.do(http.MethodPost, "/v3/payments", `{"user_id":"one","gateway":"D","amount":1}`)
	assert.Equal(t, http.StatusBadRequest, got.status)
	for _, field := range []string{"user_id", "gateway", "item_id"} {
		assert.Contains(t, got.body, `"field":"`+field+`"`)
	}
}

// A composition is a request like any other: one outcome under one key, and a ticket.
func TestCompositionsAreRequests(t *testing.T) {
	t.Parallel()
	s := newShop(t, testsupport.Miniredis(t))
	const body = `{"user_id":1,"item_id":1,"voucher":"WELCOME10","gateway":"B","amount":100}`
	key := "Idempotency-Key: checkout-1"
	var first sync.Map
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			got := s.do(http.MethodPost, "/v3/payments", body, key)
			assert.Equal(t, http.StatusCreated, got.status, got.body)
			first.Store(got.body, true)
		})
	}
	asking.Wait()
	outcomes := 0
	first.Range(func(any, any) bool { outcomes++; return true })
	assert.Equal(t, 1, outcomes)
	got := s.do(http.MethodPost, "/v3/payments", body, key)
	assert.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
	got = s.do(http.MethodPost, "/v3/payments", strings.Replace(body, "100", "200", 1), key)
	assert.Equal(t, http.StatusUnprocessableEntity, got.status)
	got = s.do(http.MethodGet, "/payments?user_id=1", "")
	assert.Equal(t, 1, strings.Count(got.body, `"reference"`), got.body)

	got = s.do(http.MethodPost, "/v3/payments", strings.Replace(body, "WELCOME10", "USED10", 1), "Prefer: respond-async")
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	at := got.header.Get("Location")
	assert.True(t, strings.HasPrefix(at, "/requests/compositions."), at)
	got = s.do(http.MethodGet, at+"?wait=10", "")
	assert.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, "VOUCHER_USED")
	assert.Contains(t, got.body, `"action":"POST /v3/payments"`)
	assert.Contains(t, got.body, `"service":"vouchers"`, "whose error it is")
}

const steps = `versions:
  v1:
    deprecated: 2026-01-31
    sunset: 2030-06-30T12:00:00Z
    routes:
      GET /things/:id/twice:
        path: {id: {type: integer}}
        steps:
          - {name: one, call: parts GET, args: [path.id]}
          - {name: two, call: parts GET, args: [one.id + 1]}
        result: '{"ids": [one.id, two.id], "version": version, "who": principal.subject}'
      GET /things/:id/plain:
        path: {id: {type: integer}}
        deprecated: 2026-02-01
        steps: [{name: one, call: parts GET, args: [path.id]}]
      POST /things/:id:
        path: {id: {type: integer}}
        timeout: 3s
        headers: [X-Currency]
        steps:
          - {name: made, call: parts MAKE, args: [path.id, '{"currency": headers["x-currency"]}']}
          - {name: noted, call: notes NOTE, args: [made.id]}
        answer: made
`

// parts is a service with the actions of the steps.
type parts struct {
	made, read atomic.Int64
	meta       atomic.Pointer[workers.Info]
}

type part struct {
	ID int64 `json:"id"`
}

type made struct {
	ID       int64  `json:"id"`
	Currency string `json:"currency"`
}

type wanted struct {
	Currency string `json:"currency"`
}

func (p *parts) service() *workers.Service {
	s := workers.NewService("parts")
	workers.Handle1(s, "GET", func(ctx context.Context, id int64) (part, error) {
		p.read.Add(1)
		m := workers.InfoFrom(ctx)
		p.meta.Store(&m)
		return part{ID: id}, nil
	}, workers.Route("GET /parts/:id"), workers.Cache(time.Minute, "part:{0}"))
	workers.Handle2(s, "MAKE", func(ctx context.Context, id int64, w wanted) (made, error) {
		p.made.Add(1)
		workers.SetStatus(ctx, http.StatusCreated)
		workers.SetLocation(ctx, fmt.Sprintf("/parts/%d", id))
		return made{ID: id, Currency: w.Currency}, nil
	}, workers.Route("POST /parts/:id"), workers.Invalidates("part:{0}"))
	return s
}

func notes() *workers.Service {
	s := workers.NewService("notes")
	workers.Handle1(s, "NOTE", func(_ context.Context, id int64) (part, error) { return part{ID: id}, nil })
	workers.Handle0(s, "READY", func(context.Context) (bool, error) { return true, nil }, workers.Route("GET /notes/ready"))
	return s
}

func TestSafeCompositionsRunAtOnceAndAreShared(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	for range 3 {
		got := s.do(http.MethodGet, "/v1/things/7/twice", "", "X-Request-Id: mine")
		require.Equal(t, http.StatusOK, got.status, got.body)
		assert.Equal(t, `{"ok":true,"result":{"ids":[7,8],"version":"v1","who":""}}`, got.body)
		assert.Equal(t, "@1769817600", got.header.Get("Deprecation"))
		assert.Equal(t, "Sun, 30 Jun 2030 12:00:00 GMT", got.header.Get("Sunset"))
		assert.Contains(t, got.header.Get("Server-Timing"), `one;desc="from 0`)
	}
	assert.EqualValues(t, 3, p.read.Load(), "each part once, after the stage looked for the first")
	assert.Equal(t, "v1", p.meta.Load().Version)
	assert.Equal(t, "mine", p.meta.Load().CallerRequestID)
	assert.Equal(t, 1, p.meta.Load().Depth)
	got := s.do(http.MethodGet, "/v1/things/7/plain", "")
	assert.Equal(t, `{"ok":true,"result":{"id":7}}`, got.body)
	assert.Equal(t, "@1769904000", got.header.Get("Deprecation"), "of the route, which says so itself")
	got = s.do(http.MethodGet, "/v1/parts/7", "")
	assert.Equal(t, "@1769817600", got.header.Get("Deprecation"), "of the version")
	assert.Empty(t, s.do(http.MethodGet, "/parts/7", "").header.Get("Deprecation"))
	keys, err := s.conn.Redis().Keys(s.ctx, "*{compositions}:req:*").Result()
	require.NoError(t, err)
	assert.Empty(t, keys, "it is no request")
}

// A step whose service has no worker is tried again when an earlier step may have had an
// effect; otherwise the caller gets the error at once.
func TestCompositionWaitsForItsSteps(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Versions = []byte(steps) })
	got := s.do(http.MethodPost, "/v1/things/7", "")
	assert.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
	var p parts
	s.work(p.service())
	s.awaitRoute("/parts/1")
	done := make(chan *answer, 1)
	go func() { done <- s.do(http.MethodPost, "/v1/things/7", "", "X-Currency: EUR") }()
	testsupport.Eventually(t, patience, "the first step has happened", func() bool { return p.made.Load() == 1 })
	waiting, err := s.conn.Redis().XRange(s.ctx, s.conn.Keys.Requests(wire.ReservedService), "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	meta, _ := waiting[0].Values["meta"].(string)
	began := (&wire.Request{Meta: meta}).ParseMeta().Began
	assert.WithinDuration(t, time.Now(), time.UnixMilli(began), patience, "it has the time of the call")
	s.work(notes())
	got = <-done
	assert.Equal(t, http.StatusCreated, got.status, got.body)
	assert.Equal(t, `{"ok":true,"result":{"id":7,"currency":"EUR"}}`, got.body)
	assert.Equal(t, "/parts/7", got.header.Get("Location"))
	assert.EqualValues(t, 1, p.made.Load())
	// The gateway of the caller drops its local entries, whichever gateway ran the composition.
	keys, err := s.conn.Redis().Keys(s.ctx, "*{compositions}:req:*").Result()
	require.NoError(t, err)
	changed := 0
	for _, key := range keys {
		outcome, err := s.conn.Redis().HGet(s.ctx, key, "outcome").Result()
		require.NoError(t, err)
		if strings.Contains(outcome, "tags=parts%2Fpart%3A7") {
			changed++
		}
	}
	assert.Equal(t, 1, changed)
}

// A versions file is read again when it changes; an invalid one changes nothing.
func TestVersionsAreReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "versions.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(steps)
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.VersionsFile = file })
	var p parts
	s.work(p.service(), notes())
	s.awaitRoute("/parts/1")
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := s.do(http.MethodPost, "/v1/things/7", "")
				assert.Equal(t, http.StatusCreated, got.status, got.body)
			}
		})
	}
	is := func(status int, path string) {
		testsupport.Eventually(t, patience, path, func() bool { return s.do(http.MethodGet, path, "").status == status })
	}
	is(http.StatusNotFound, "/v2/parts/7")
	write(steps + "  v2: {}\n")
	is(http.StatusOK, "/v2/parts/7")
	write("versions: {v2: {routes: {GET /x: {}}}}")
	s.logs.Wait(t, "the one before stays in force")
	is(http.StatusOK, "/v2/parts/7")
	write(strings.Replace(steps, "parts GET, args: [path.id]", "parts NOTHING, args: [path.id]", 1))
	s.logs.Wait(t, "parts has no action NOTHING")
	is(http.StatusOK, "/v1/things/7/twice")
	write(strings.Replace(steps, "          - {name: noted", "          - {name: again, call: parts GET, args: [made.id]}\n          - {name: noted", 1))
	is(http.StatusNotFound, "/v2/parts/7")
	close(stop)
	asking.Wait()
	assert.Positive(t, p.made.Load())

	_, err := api.New(busctx.With(t.Context(), s.conn), api.Config{Versions: []byte("versions: 1")})
	require.ErrorContains(t, err, "versions:1:11: versions: want names with values")
	_, err = api.New(busctx.With(t.Context(), s.conn), api.Config{VersionsFile: file + ".none"})
	require.ErrorContains(t, err, "versions file")
}

// A versions file that needs an action that no service has yet comes into force when the
// service declares it.
func TestRefusedVersionsAreTriedAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "versions.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("versions: {v1: {}}")
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.VersionsFile = file })
	stop := s.work(notes())
	s.awaitRoute("/notes/ready")
	write("versions: {v1: {routes: {GET /later: {steps: [{call: notes LATER}]}}}}")
	s.logs.Wait(t, "notes has no action LATER")
	assert.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/v1/later", "").status)
	stop()
	grown := notes()
	workers.Handle0(grown, "LATER", func(context.Context) (bool, error) { return true, nil }, workers.Safe())
	s.work(grown)
	s.awaitRoute("/v1/later")
	// A file that was refused for its own faults is not tried again.
	write("versions: {v1: {routes: {GET /later: {steps: [{call: notes NEVER}]}}}}")
	s.logs.Wait(t, "notes has no action NEVER")
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/v1/later", "").status)
}
