package faults

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/testsupport"
)

// proxied returns a setting in which gateways or workers connect to Redis through a proxy.
func proxied(t *testing.T, proxy **testsupport.Proxy) func(*testsupport.RedisServer) string {
	t.Helper()
	return func(r *testsupport.RedisServer) string {
		if *proxy == nil {
			*proxy = testsupport.StartProxy(t, r.Addr())
		}
		return (*proxy).URL()
	}
}

// The connections of the gateway stay open, but it receives nothing.
func TestDeafGateway(t *testing.T) {
	t.Parallel()
	var line *testsupport.Proxy
	s := newStage(t, setting{gatewayURL: proxied(t, &line), idle: calmIdleLimit})
	stop := s.load(8, usual)
	for range times(1, 10) {
		s.works(20)
		line.BlackholeReplies(true)
		s.eventually("the gateway notices", func() bool { return s.status(http.MethodGet, 0, "/readyz") == http.StatusServiceUnavailable })
		s.pass(s.between(0, time.Second))
		line.BlackholeReplies(false)
		s.fault()
		s.works(20)
	}
	stop()
	n := s.check("pubsub-blackhole", false)
	assert.Zero(t, n.unknown, "calls are answered after all")
	assert.Zero(t, n.unsafe, "nothing unsafe ran again")
	assert.Less(t, n.recovered, 5*time.Second)
}

func TestSubscribersKilled(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 2, idle: calmIdleLimit})
	stop := s.load(8, usual)
	for range times(30, 500) {
		s.redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
		s.fault()
		s.pass(s.between(10*time.Millisecond, 150*time.Millisecond))
	}
	s.works(20)
	stop()
	n := s.check("pubsub-kill", false)
	assert.Zero(t, n.unknown+n.unsafe)
	assert.Less(t, n.slowest, 5*time.Second)
}

// Redis disconnects a gateway that does not read its replies. The gateway finds them when it
// reads again.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	// A frozen process would not do: the kernel's buffers may hold all of these replies.
	var line *testsupport.Proxy
	first := proxied(t, &line)
	s := newStage(t, setting{
		gateways: 2, workers: 2, concurrency: 300,
		// The workers make 280 large answers at once, half of them twice. With the race detector and other tests, that
		// takes long, and can delay a sign of life.
		idle: 8 * time.Second, timeout: 25 * time.Second,
		gatewayURL: func(r *testsupport.RedisServer) string {
			if line == nil {
				return first(r)
			}
			return r.URL()
		},
		redis: []string{"--client-output-buffer-limit", "pubsub", "16mb", "1mb", "1"},
	})
	subscribers := func() int {
		list, _ := s.redis.Do("CLIENT", "LIST", "TYPE", "pubsub").(string)
		return strings.Count(list, "\n")
	}
	const each = 3 // for replies, for the registry, for the cache
	before := each * len(s.gateways)
	for range times(1, 5) {
		s.eventually("all have subscribed", func() bool { return subscribers() == before })
		const calls = 280
		var asking sync.WaitGroup
		for i := range calls {
			asking.Go(func() { s.call(0, i%2 == 0, work{MS: 2000, Pad: 60_000}) })
		}
		s.eventually("most run", func() bool {
			stats, err := admin.ReadStats(t.Context(), s.conn, service)
			return err == nil && stats.Pending > calls*3/4
		})
		s.gateways[0].freeze()
		line.HoldReplies(true)
		s.quiet()
		s.eventually("Redis cuts it off", func() bool { return subscribers() < before })
		c := s.call(1, false, work{})
		assert.Equal(t, answered, c.fate, "the other gateway serves on: %s", c.said)
		line.HoldReplies(false)
		s.gateways[0].thaw()
		s.fault()
		asking.Wait()
		s.serves(0)
		s.works0(2)
	}
	n := s.check("slow-subscriber", false)
	assert.Zero(t, n.unknown+n.unsafe)
}
