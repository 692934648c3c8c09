package faults

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/testsupport"
)

// idleLimit is the idle limit of the workers, short for fast tests.
const idleLimit = 500 * time.Millisecond

// calmIdleLimit is for tests in which no request may be taken over. On a busy machine, a
// slow disk can delay a sign of life for half a second.
const calmIdleLimit = 2 * time.Second

// stage is the Redis of one test, with workers and gateways.
type stage struct {
	t      *testing.T
	redis  *testsupport.RedisServer
	conn   *bus.Conn // of the test
	rng    *rand.Rand
	client *http.Client
	set    setting

	workers  []*process
	gateways []*process
	listen   []string // the addresses of the gateways; a restart keeps them

	ledger ledger
	mu     sync.Mutex
	calls  []*call
	next   int
	faults []time.Time
}

// setting configures a stage. The zero value means one gateway, two workers, and a Redis that
// loses no data.
type setting struct {
	redis       []string // further arguments of redis-server
	url         string   // of a Sentinel group or a cluster, in place of a server
	minReplicas int      // of the gateways
	gateways    int
	workers     int
	attempts    int
	concurrency int
	idle        time.Duration
	timeout     time.Duration                         // of the actions; defaults to 15 s
	examples    bool                                  // the workers serve echo and items too
	others      func(*stage)                          // starts workers of another kind
	gatewayURL  func(*testsupport.RedisServer) string // defaults to the server's
	workerURL   func(*testsupport.RedisServer) string
}

func newStage(t *testing.T, set setting) *stage {
	t.Helper()
	args := append([]string{"--appendonly", "yes", "--appendfsync", "always"}, set.redis...)
	s := &stage{t: t, set: set, rng: random(t)}
	if s.set.url == "" {
		s.redis = testsupport.StartRedis(t, args...)
		s.set.url = s.redis.URL()
	}
	s.ledger.path = filepath.Join(t.TempDir(), "ledger")
	if s.set.timeout == 0 {
		s.set.timeout = 15 * time.Second
	}
	if s.set.idle == 0 {
		s.set.idle = idleLimit
	}
	var err error
	s.conn, err = bus.Connect(s.set.url, bus.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.conn.Close() })
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	s.client = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(transport.CloseIdleConnections)
	for range max(1, set.gateways) {
		s.listen = append(s.listen, testsupport.FreeAddr(t))
		s.gateways = append(s.gateways, nil)
	}
	for range orDefault(set.workers, 2) {
		s.workers = append(s.workers, s.worker())
	}
	for i := range s.gateways {
		s.gateways[i] = s.gateway(i)
	}
	if set.others != nil {
		set.others(s)
	}
	s.ready()
	return s
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return max(n, 0)
}

// worker starts another worker, and returns it.
func (s *stage) worker(env ...string) *process {
	s.t.Helper()
	return s.workerAs("worker", env...)
}

// workerAs starts a worker in a role.
func (s *stage) workerAs(role string, env ...string) *process {
	s.t.Helper()
	url := s.set.url
	if s.set.workerURL != nil {
		url = s.set.workerURL(s.redis)
	}
	if s.set.examples {
		env = append(env, envExamples+"=1")
	}
	return start(s.t, role, append([]string{
		envRedis + "=" + url, envLedger + "=" + s.ledger.path,
		envIdle + "=" + strconv.FormatInt(s.set.idle.Milliseconds(), 10),
		envAttempts + "=" + strconv.Itoa(s.set.attempts), envConcurrency + "=" + strconv.Itoa(s.set.concurrency),
		envTimeout + "=" + strconv.FormatInt(s.set.timeout.Milliseconds(), 10),
	}, env...)...)
}

// gateway starts the gateway with this number, at its address.
func (s *stage) gateway(i int, env ...string) *process {
	s.t.Helper()
	url := s.set.url
	if s.set.gatewayURL != nil {
		url = s.set.gatewayURL(s.redis)
	}
	return start(s.t, "gateway", append([]string{
		envRedis + "=" + url, envLedger + "=" + s.ledger.path, envListen + "=" + s.listen[i],
		envIdle + "=" + strconv.FormatInt(s.set.idle.Milliseconds(), 10), envReplicas + "=" + strconv.Itoa(s.set.minReplicas),
	}, env...)...)
}

// ready waits until every gateway knows the routes. It calls no service, because a hook may
// wait for the first call.
func (s *stage) ready() {
	s.t.Helper()
	for i := range s.listen {
		s.serves(i)
	}
	for _, w := range s.workers {
		w.works()
	}
}

func (s *stage) serves(gateway int) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "a gateway is ready", func() bool {
		return s.status(http.MethodGet, gateway, "/readyz") == http.StatusOK &&
			s.status(http.MethodOptions, gateway, "/things/run/0") == http.StatusNoContent
	})
}

// status requests a path of the gateway itself, and returns the status; 0: no answer.
func (s *stage) status(method string, gateway int, path string) int {
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.listen[gateway]+path, http.NoBody)
	if err != nil {
		return 0
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// fault records the moment of a fault; see recovered.
func (s *stage) fault() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, time.Now())
}

// pass waits for a time, where no signal exists.
func (s *stage) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
	}
}

// between returns a random duration.
func (s *stage) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)+1))
}

// eventually waits until a condition holds.
func (s *stage) eventually(what string, holds func() bool) {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, what, holds)
}

// running waits until a run of a call has begun, and returns its process.
func (s *stage) running(n int) *process {
	s.t.Helper()
	var found *process
	s.eventually(fmt.Sprintf("call %d runs", n), func() bool {
		for _, e := range s.ledger.read(s.t) {
			if e.what != "run" || e.n != strconv.Itoa(n) {
				continue
			}
			for _, w := range s.workers {
				if w.PID() == e.pid {
					found = w
					return true
				}
			}
		}
		return false
	})
	return found
}

// quiet waits until the mailbox is empty and nothing is pending.
func (s *stage) quiet() {
	s.t.Helper()
	s.eventually("the mailbox is empty and nothing is pending", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		stats, err := admin.ReadStats(ctx, s.conn, service)
		return err == nil && stats.Backlog == 0 && stats.Pending == 0
	})
}
