package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/metrics"
)

// Gateway counts the requests of one gateway. It is safe for concurrent use.
type Gateway struct {
	// Registry holds all metrics of the process.
	Registry *prometheus.Registry

	traffic  *prometheus.Registry // of the metrics of requests alone
	requests *metrics.Actions[*series]
	steps    *metrics.Actions[*step]
	refused  *prometheus.CounterVec
	state    *state

	requestsTotal, redeliveries, expired, cached, invalid, stepsTotal *prometheus.CounterVec
	durations, stepDurations                                          *prometheus.HistogramVec
}

// New returns the metrics of a gateway.
func New() *Gateway {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	g := &Gateway{
		Registry:      metrics.NewRegistry(),
		traffic:       prometheus.NewRegistry(),
		requestsTotal: counter("mailroom_requests_total", "Answered requests by HTTP status; service and action are empty where no route matched.", "service", "action", "code"),
		refused:       counter("mailroom_refused_total", "Requests that the gateway itself answered with an error, by its code in lower case.", "service", "reason"),
		redeliveries:  counter("mailroom_redeliveries_total", "Deliveries beyond the first one of the requests that were answered.", "service"),
		expired:       counter("mailroom_expired_total", "Requests that expired before a worker began them, and were answered here.", "service"),
		cached:        counter("mailroom_cache_answers_total", "Answers of cached and shared actions by source: near, shared, led, joined, revalidating, stale or bypassed.", "service", "action", "kind"),
		invalid:       counter("mailroom_cache_invalid_total", "Cache entries that were ignored, because they are not an answer.", "service"),
		stepsTotal:    counter("mailroom_steps_total", "Steps of compositions by the HTTP status of their answers.", "composition", "step", "service", "action", "code"),
		durations: prometheus.NewHistogramVec(metrics.Durations("mailroom_request_duration_seconds",
			"Time of answered requests: queue (in the mailbox), run (of the handler), reply (the rest of a request that ran) and total."), []string{"service", "action", "phase"}),
		stepDurations: prometheus.NewHistogramVec(metrics.Durations("mailroom_step_duration_seconds",
			"Time of the steps of compositions: queue (in the mailbox), run (of the handler) and total."), []string{"composition", "step", "service", "action", "phase"}),
	}
	g.Registry.MustRegister(g.requestsTotal, g.refused, g.redeliveries, g.expired, g.cached, g.invalid, g.stepsTotal, g.durations, g.stepDurations)
	g.traffic.MustRegister(g.requestsTotal, g.cached, g.stepsTotal, g.durations, g.stepDurations)
	g.requests = metrics.NewActions(g.newSeries)
	g.steps = metrics.NewActions(func(composition, name string) *step { return &step{} })
	return g
}

// Traffic returns the metrics of requests, answers of the cache and steps.
func (g *Gateway) Traffic() prometheus.Gatherer { return g.traffic }

// series are the series of one action.
type series struct {
	service, action         string
	codes                   *metrics.Codes
	queue, run, reply, took atomic.Pointer[prometheus.Observer]
}

func (g *Gateway) newSeries(service, action string) *series {
	return &series{service: service, action: action, codes: metrics.NewCodes(g.requestsTotal, service, action)}
}

// observe records a duration of one phase. The histogram of a phase exists once it has a
// value: an action that only answers from the cache has no queue.
func (g *Gateway) observe(s *series, at *atomic.Pointer[prometheus.Observer], phase string, d time.Duration) {
	observer := at.Load()
	if observer == nil {
		made := g.durations.WithLabelValues(s.service, s.action, phase)
		observer = &made
		at.Store(observer)
	}
	(*observer).Observe(d.Seconds())
}

// Ended counts a request that was answered.
func (g *Gateway) Ended(in *exchange.Request) {
	o := &in.Outcome
	s := g.requests.Of(in.Service, in.Action)
	s.codes.Inc(o.Status)
	if o.Refused != "" {
		g.refused.WithLabelValues(s.service, strings.ToLower(string(o.Refused))).Inc()
	}
	if o.Expired {
		g.expired.WithLabelValues(s.service).Inc()
	}
	if s.action == "" { // no route matched
		return
	}
	g.observe(s, &s.took, "total", o.Total)
	if o.Ran {
		g.observe(s, &s.queue, "queue", o.Queue)
		g.observe(s, &s.run, "run", o.Run)
		g.observe(s, &s.reply, "reply", max(0, o.Total-o.Queue-o.Run))
		if o.Attempt > 1 {
			g.redeliveries.WithLabelValues(s.service).Add(float64(o.Attempt - 1))
		}
	}
	if o.Cache != "" {
		g.cached.WithLabelValues(s.service, s.action, o.Cache).Inc()
	}
}

// InvalidEntry counts a cache entry of a service that is not an answer.
func (g *Gateway) InvalidEntry(service string) { g.invalid.WithLabelValues(service).Inc() }

// Refused counts a message that was refused before it became a request, by its status.
func (g *Gateway) Refused(status int) {
	g.requests.Of("", "").codes.Inc(status)
}

// Step is a step of a composition that has an answer.
type Step struct {
	// Composition is the method and path, Name that of the step.
	Composition, Name string
	// Service and Action are what the step called.
	Service, Action string
	// Status is the HTTP status of the answer.
	Status int
	// Queue and Run are the times of its run; 0: it did not run for this step.
	Queue, Run time.Duration
	// Total is the time of the step.
	Total time.Duration
}

// step are the series of one step.
type step struct {
	once              sync.Once
	codes             *metrics.Codes
	queue, run, total prometheus.Observer
}

// Step counts a step of a composition.
func (g *Gateway) Step(one *Step) {
	s := g.steps.Of(one.Composition, one.Name)
	s.once.Do(func() {
		labels := []string{one.Composition, one.Name, one.Service, one.Action}
		phase := func(name string) prometheus.Observer {
			return g.stepDurations.WithLabelValues(append(slices.Clip(labels), name)...)
		}
		s.codes = metrics.NewCodes(g.stepsTotal, labels...)
		s.queue, s.run, s.total = phase("queue"), phase("run"), phase("total")
	})
	s.codes.Inc(one.Status)
	s.total.Observe(one.Total.Seconds())
	if one.Run > 0 {
		s.queue.Observe(one.Queue.Seconds())
		s.run.Observe(one.Run.Seconds())
	}
}
