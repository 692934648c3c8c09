package stats

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// maxActions is the number of actions in a snapshot: those with the most requests.
const maxActions = 500

// ticks is the number of intervals in a window.
const ticks = int(Window / Interval)

// sampler makes statistics of the metrics of a gateway. It is not safe for concurrent use.
type sampler struct {
	metrics prometheus.Gatherer
	totals  map[name]*Action   // at the last sample
	recent  []map[name]*Action // what was added in each interval of the window, the latest last
	points  map[string][]Point // by service; the latest is in progress
	samples int
}

// name is that of an action or of a step; step is empty for an action.
type name struct{ service, action, step string }

func newSampler(metrics prometheus.Gatherer) *sampler {
	return &sampler{metrics: metrics, totals: make(map[name]*Action), points: make(map[string][]Point)}
}

// sample adds what happened since the last sample.
func (s *sampler) sample() error {
	families, err := s.metrics.Gather()
	if err != nil {
		return err
	}
	totals := make(map[name]*Action, len(s.totals))
	for _, family := range families {
		for _, m := range family.GetMetric() {
			read(totals, family.GetName(), m)
		}
	}
	added := make(map[name]*Action)
	for key, total := range totals {
		if a := total.since(s.totals[key]); a.Requests > 0 {
			added[key] = a
		}
	}
	s.totals = totals
	s.recent = append(s.recent, added)
	s.recent = s.recent[max(0, len(s.recent)-ticks):]
	s.addPoints(added)
	return nil
}

// addPoints adds an interval to the sparklines.
func (s *sampler) addPoints(added map[name]*Action) {
	for key := range added {
		if s.points[key.service] == nil && key.step == "" {
			s.points[key.service] = make([]Point, 1, Points+1)
		}
	}
	next := s.samples%int(PointInterval/Interval) == 0
	s.samples++
	for service, points := range s.points {
		if next {
			points = append(points, Point{})
			points = slices.Delete(points, 0, max(0, len(points)-Points))
		}
		latest := &points[len(points)-1]
		for key, a := range added {
			if key.service == service && key.step == "" {
				latest.Requests += a.Requests
				latest.Errors += a.Errors
			}
		}
		s.points[service] = points
		if !slices.ContainsFunc(points, func(p Point) bool { return p.Requests > 0 }) {
			delete(s.points, service)
		}
	}
}

// since returns what was added to a after an earlier state of it, which may be nil.
func (a *Action) since(before *Action) *Action {
	if before == nil {
		return a
	}
	added := &Action{
		Requests: a.Requests - before.Requests, Errors: a.Errors - before.Errors,
		Queue: a.Queue.since(before.Queue), Run: a.Run.since(before.Run), Total: a.Total.since(before.Total), Cache: make(map[string]uint64),
	}
	for kind, n := range a.Cache {
		if n > before.Cache[kind] {
			added.Cache[kind] = n - before.Cache[kind]
		}
	}
	return added
}

// read adds one series to the totals.
func read(totals map[name]*Action, family string, m *dto.Metric) {
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	if strings.HasPrefix(family, "mailroom_step") {
		// A step is a request to its service, too.
		readInto(totals, name{service: "compositions", action: labels["composition"], step: labels["step"]}, family, labels, m)
	}
	if labels["action"] != "" { // else no route matched
		readInto(totals, name{service: labels["service"], action: labels["action"]}, family, labels, m)
	}
}

// readInto adds one series to one total.
func readInto(totals map[name]*Action, key name, family string, labels map[string]string, m *dto.Metric) {
	a := totals[key]
	if a == nil {
		a = newAction()
		totals[key] = a
	}
	switch family {
	case "mailroom_requests_total", "mailroom_steps_total":
		n := uint64(m.GetCounter().GetValue())
		a.Requests += n
		if labels["code"] >= "500" {
			a.Errors += n
		}
	case "mailroom_cache_answers_total":
		a.Cache[labels["kind"]] += uint64(m.GetCounter().GetValue())
	case "mailroom_step_duration_seconds", "mailroom_request_duration_seconds":
		into := map[string]Histogram{"queue": a.Queue, "run": a.Run, "total": a.Total}[labels["phase"]]
		if into != nil {
			into.add(histogramOf(m.GetHistogram()))
		}
	}
}

// services returns the statistics of the window.
func (s *sampler) services() map[string]*Service {
	window := make(map[name]*Action)
	for _, interval := range s.recent {
		for key, a := range interval {
			if window[key] == nil {
				window[key] = newAction()
			}
			window[key].add(a)
		}
	}
	keys := slices.SortedFunc(maps.Keys(window), func(a, b name) int {
		return cmp.Or(cmp.Compare(window[b].Requests, window[a].Requests), cmp.Compare(a.service+a.action+a.step, b.service+b.action+b.step))
	})
	services := make(map[string]*Service, len(s.points))
	for service, points := range s.points {
		services[service] = &Service{Points: slices.Clone(points), Actions: make(map[string]*Action)}
	}
	for _, key := range keys[:min(len(keys), maxActions)] {
		if service := services[key.service]; service != nil && key.step == "" {
			service.Actions[key.action] = window[key]
		}
	}
	for _, key := range keys {
		if service := services[key.service]; service != nil && key.step != "" && service.Actions[key.action] != nil {
			service.Actions[key.action].Steps[key.step] = window[key]
		}
	}
	return services
}

// snapshot returns the statistics at a time.
func (s *sampler) snapshot(at time.Time) *Snapshot {
	return &Snapshot{At: at, Services: s.services()}
}
