package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// tagged is a service with cached answers.
func tagged() *workers.Service {
	tagged := workers.NewService("tagged")
	get := func(_ context.Context, id int64) (int64, error) { return id, nil }
	workers.Handle1(tagged, "GET", get, workers.Route("GET /tagged/:id"), workers.Cache(time.Minute, "item:{0}"))
	workers.Handle1(tagged, "SECRET", get, workers.Route("GET /tagged/:id/secret"), workers.Cache(time.Minute, "secret:{0}"), workers.Scope("secret:read"))
	workers.Handle1(tagged, "TOUCH", get, workers.Route("POST /tagged/:id"), workers.Invalidates("item:{0}"))
	return tagged
}

func TestSocketSubscribesToTags(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "")
	s.work(tagged())
	s.awaitRoute("/tagged/1")
	p := s.socket()
	first := p.ask(`{"id":1,"subscribe":"item:1","service":"tagged"}`)
	at, _ := first["at"].(string)
	require.NotEmpty(t, at)
	assert.Equal(t, true, first["recovered"])
	s.got("2", http.MethodPost, "/tagged/2", "") // another item
	s.got("1", http.MethodPost, "/tagged/1", "")
	event := p.expect("event")
	assert.Equal(t, "item:1", event["event"])
	assert.Equal(t, "tagged", event["service"])
	later, _ := event["at"].(string)
	assert.NotEqual(t, at, later)

	// A client that connects again learns whether it has missed an event.
	again := s.socket()
	assert.Equal(t, true, again.ask(`{"id":1,"subscribe":"item:1","service":"tagged","after":"` + later + `"}`)["recovered"])
	assert.Equal(t, false, again.ask(`{"id":2,"subscribe":"item:1","service":"tagged","after":"` + at + `"}`)["recovered"])

	assert.Equal(t, map[string]any{"id": 1.0, "ok": true}, p.ask(`{"id":1,"unsubscribe":true}`))
	s.got("1", http.MethodPost, "/tagged/1", "")
	again.expect("event")
	assert.InDelta(t, 1, p.ask(`{"id":9,"service":"tagged","request":"GET","args":[1]}`)["result"], 0, "no event came before")
}

func TestSocketSubscriptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", with(api.AuthOptional))
	s.work(tagged())
	s.awaitRoute("/tagged/1")
	p := s.openSocket()
	p.send(`{"auth":null}`)
	p.expect("hello")
	for frame, want := range map[string]string{
		`"subscribe":"other:1","service":"tagged"`:                  "NOT_FOUND",
		`"subscribe":"item:1:2","service":"tagged"`:                 "NOT_FOUND",
		`"subscribe":"item:1","service":"nothing"`:                  "NOT_FOUND",
		`"subscribe":"secret:1","service":"tagged"`:                 "UNAUTHENTICATED",
		`"subscribe":"tagged.0190a5b4-7c3e-7d52-9f3e-0123456789ab"`: "NOT_FOUND",
		`"subscribe":"item:1"`:                                      "NOT_FOUND",
	} {
		assert.Equal(t, want, code(p.ask(`{"id":1,`+frame+`}`)), frame)
	}
	for id := range 1000 {
		p.send(fmt.Sprintf(`{"id":%d,"subscribe":"item:%d","service":"tagged"}`, id, id))
		assert.Equal(t, true, p.expect("ok")["ok"])
	}
	assert.Equal(t, "OVERLOADED", code(p.ask(`{"id":1000,"subscribe":"item:1","service":"tagged"}`)))
	p.send(`{"id":7,"subscribe":"item:1","service":"tagged"}`)
	p.closed("invalid", 4400)
}

func TestSocketFollowsTickets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	entered, release := s.hold()
	at := s.do(http.MethodPost, "/slow/hold", "", "Prefer: respond-async").header.Get("Location")
	<-entered
	p := s.socket()
	ticket := strings.TrimPrefix(at, "/requests/")
	assert.Equal(t, map[string]any{"id": 1.0, "ok": true, "recovered": true}, p.ask(`{"id":1,"subscribe":"`+ticket+`"}`))
	event := p.expect("event")
	assert.Equal(t, ticket, event["event"])
	assert.Equal(t, "running", event["data"].(map[string]any)["state"])
	close(release)
	done := p.expect("event")["data"].(map[string]any)
	assert.Equal(t, "done", done["state"])
	assert.Equal(t, map[string]any{"ok": true, "result": "held"}, done["outcome"])
}

// An invalidation that the gateway could not hear of is reported when it hears again.
func TestSocketLearnsOfInvalidationsThatWereMissed(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	proxy := testsupport.StartProxy(t, strings.TrimPrefix(url, "redis://"))
	s := startGateway(t, url, proxy.URL())
	s.work(tagged())
	s.awaitRoute("/tagged/1")
	p := s.socket()
	p.ask(`{"id":1,"subscribe":"item:1","service":"tagged"}`)
	p.ask(`{"id":2,"subscribe":"item:2","service":"tagged"}`)
	proxy.Refuse(true)
	proxy.Cut()
	assert.Contains(t, s.callBus("tagged", "TOUCH", "[1]"), `"ok":true`)
	proxy.Refuse(false)
	assert.Equal(t, "item:1", p.expect("event")["event"])
}
