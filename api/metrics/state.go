package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
)

// Mailbox is the state of the mailbox of one service.
type Mailbox struct {
	admin.Stats

	Service string
	// Workers is the number of live workers.
	Workers int
}

// State is what a gateway knows when its metrics are read.
type State struct {
	// Mailboxes are those of all known services; nil: Redis did not answer.
	Mailboxes []Mailbox
	// InFlight is the number of calls in flight at this gateway, by service.
	InFlight map[string]int64
	// RedisUp reports whether this gateway can call services.
	RedisUp bool
	// Evicts reports whether Redis may delete requests when its memory is full.
	Evicts bool
	// Sockets is the number of open WebSockets, by kind: client or worker.
	Sockets map[string]int
	// Redis describes the connection to Redis.
	Redis caller.Health
}

const (
	stateAge     = time.Second     // for which a state serves further scrapes
	stateTimeout = 2 * time.Second // for reading it
)

// CollectState adds gauges of the state, which read is asked for at most once per second.
func (g *Gateway) CollectState(read func(context.Context) State) {
	s := &state{read: read}
	g.Registry.MustRegister(s)
	g.state = s
}

// State returns the state of the gateway, at most a second old.
func (g *Gateway) State() State { return g.state.current() }

// state collects the gauges of a State.
type state struct {
	read func(context.Context) State

	mu   sync.Mutex
	last State
	at   time.Time
}

//nolint:gochecknoglobals // descriptions do not change
var (
	perService = func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"service"}, nil)
	}
	plain = func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

	descWorkers  = perService("mailroom_workers", "Live workers.")
	descBacklog  = perService("mailroom_backlog", "Requests that no worker has read.")
	descPending  = perService("mailroom_pending", "Requests that workers have read and not ended.")
	descWaiting  = perService("mailroom_lane_waiting", "Requests that wait in lanes.")
	descOldest   = perService("mailroom_oldest_seconds", "Age of the oldest request that has not ended; 0: there is none.")
	descStored   = perService("mailroom_stored_bytes", "Bytes that are charged for requests and outcomes in Redis, about; 0 without a limit.")
	descDead     = perService("mailroom_dead_letters", "Dead letters.")
	descInFlight = perService("mailroom_in_flight", "Calls in flight at this gateway.")
	descSockets  = prometheus.NewDesc("mailroom_sockets", "Open WebSockets of this gateway: of clients and of workers.", []string{"kind"}, nil)
	descUp       = plain("mailroom_redis_up", "1 while this gateway reaches Redis and receives replies.")
	descTrip     = plain("mailroom_redis_round_trip_seconds", "Time of the last round trip to Redis.")
	descPings    = plain("mailroom_redis_pings_total", "Pings on the reply channel.")
	descPongs    = plain("mailroom_redis_pongs_total", "Pings that came back on the reply channel.")
	descOpened   = plain("mailroom_redis_subscriptions_total", "Times that the reply subscription was opened; each one after the first follows a lost connection.")
	descEvicts   = plain("mailroom_redis_may_evict", "1 while Redis may delete requests when its memory is full: unsafe requests are refused.")
	descUsed     = plain("mailroom_redis_memory_used_bytes", "Memory that Redis uses.")
	descMax      = plain("mailroom_redis_memory_max_bytes", "Memory limit of Redis; 0: none.")
)

// Describe sends no description: the series depend on the services.
func (s *state) Describe(chan<- *prometheus.Desc) {}

// Collect sends the gauges.
func (s *state) Collect(out chan<- prometheus.Metric) {
	now := s.current()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	for _, m := range now.Mailboxes {
		gauge(descWorkers, float64(m.Workers), m.Service)
		gauge(descBacklog, float64(m.Backlog), m.Service)
		gauge(descPending, float64(m.Pending), m.Service)
		gauge(descWaiting, float64(m.Waiting), m.Service)
		gauge(descOldest, m.Oldest.Seconds(), m.Service)
		gauge(descDead, float64(m.Dead), m.Service)
		gauge(descStored, float64(m.Stored), m.Service)
	}
	for service, n := range now.InFlight {
		gauge(descInFlight, float64(n), service)
	}
	for kind, n := range now.Sockets {
		gauge(descSockets, float64(n), kind)
	}
	up := 0.0
	if now.RedisUp {
		up = 1
	}
	gauge(descUp, up)
	evicts := 0.0
	if now.Evicts {
		evicts = 1
	}
	gauge(descEvicts, evicts)
	gauge(descTrip, now.Redis.RoundTrip.Seconds())
	gauge(descUsed, float64(now.Redis.UsedMemory))
	gauge(descMax, float64(now.Redis.MaxMemory))
	counter(descPings, now.Redis.Pings)
	counter(descPongs, now.Redis.Pongs)
	counter(descOpened, now.Redis.Subscriptions)
}

// current returns a state that is at most stateAge old.
func (s *state) current() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= stateAge {
		ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
		defer cancel()
		s.last, s.at = s.read(ctx), time.Now()
	}
	return s.last
}
