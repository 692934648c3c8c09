// Package workmetrics holds the Prometheus metrics of a worker process.
// docs/reference/metrics.md lists them.
package workmetrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oskadev/mailroom/internal/metrics"
)

// Meter counts the requests of the workers of one process. It is safe for concurrent use.
type Meter struct {
	// Registry holds all metrics of the process.
	Registry *prometheus.Registry

	actions                    *metrics.Actions[*series]
	requests, redeliveries     *prometheus.CounterVec
	expired, dead              *prometheus.CounterVec
	queueDuration, runDuration *prometheus.HistogramVec
}

// series are the series of one action.
type series struct {
	service    string
	codes      *metrics.Codes
	queue, run prometheus.Observer
}

// New returns the metrics of a process.
func New() *Meter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	action := []string{"service", "action"}
	m := &Meter{
		Registry:      metrics.NewRegistry(),
		requests:      counter("mailroom_worker_requests_total", "Requests that this worker ended with an answer, by HTTP status.", "service", "action", "code"),
		redeliveries:  counter("mailroom_worker_redeliveries_total", "Deliveries to this worker beyond the first one of a request.", "service"),
		expired:       counter("mailroom_worker_expired_total", "Requests whose deadline passed before this worker began them.", "service"),
		dead:          counter("mailroom_worker_dead_letters_total", "Requests of which this worker made dead letters.", "service"),
		queueDuration: prometheus.NewHistogramVec(metrics.Durations("mailroom_worker_queue_duration_seconds", "Time from the acceptance of a request to its delivery to this worker."), action),
		runDuration:   prometheus.NewHistogramVec(metrics.Durations("mailroom_worker_run_duration_seconds", "Time of the handler."), action),
	}
	m.Registry.MustRegister(m.requests, m.redeliveries, m.expired, m.dead, m.queueDuration, m.runDuration)
	m.actions = metrics.NewActions(func(service, action string) *series {
		return &series{
			service: service, codes: metrics.NewCodes(m.requests, service, action),
			queue: m.queueDuration.WithLabelValues(service, action), run: m.runDuration.WithLabelValues(service, action),
		}
	})
	return m
}

// Run is a delivery that has ended.
type Run struct {
	Service string
	// Action is the name of a declared action; empty: the request names another one.
	Action string
	// Attempt counts the deliveries, from 1.
	Attempt int
	// Status is the HTTP status of the answer; 0: there is none.
	Status int
	// Queue is the time from the acceptance of the request to this delivery.
	Queue time.Duration
	// Took is the time of the handler; 0: it was not called.
	Took time.Duration
	// Expired and Dead report how a request without an answer of its handler ended.
	Expired, Dead bool
}

// Ended counts a delivery that has ended.
func (m *Meter) Ended(r *Run) {
	s := m.actions.Of(r.Service, r.Action)
	if r.Status != 0 {
		s.codes.Inc(r.Status)
	}
	s.queue.Observe(r.Queue.Seconds())
	if r.Took > 0 {
		s.run.Observe(r.Took.Seconds())
	}
	if r.Attempt > 1 {
		m.redeliveries.WithLabelValues(s.service).Inc()
	}
	if r.Expired {
		m.expired.WithLabelValues(s.service).Inc()
	}
	if r.Dead {
		m.dead.WithLabelValues(s.service).Inc()
	}
}

type key struct{}

// With returns a context that carries a meter to workers.Run.
func With(ctx context.Context, m *Meter) context.Context { return context.WithValue(ctx, key{}, m) }

// From returns the meter that a context carries; nil: none.
func From(ctx context.Context) *Meter {
	m, _ := ctx.Value(key{}).(*Meter)
	return m
}
