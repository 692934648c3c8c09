package isolation

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	rate         = 150              // calls of the others in a second
	steady       = 3 * time.Second  // the measurement before an attack
	maxRecovery  = 10 * time.Second // after an attack
	maxResident  = 200 << 20        // of the gateway, at its peak
	window       = time.Second
	maxOvershoot = 1.5
)

// sample is one call of the others.
type sample struct {
	began time.Time
	took  time.Duration
	fault string // empty: it was answered as it should be
}

// others is the load of the other callers. It is open-loop: a slow answer delays no later call.
type others struct {
	s     *stage
	floor time.Duration // the difference of two p99s that does not count
	stop  context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	samples []sample
}

// ordinary is a call of the others.
type ordinary struct{ method, path, body, key string }

// load starts the others, with a key for each kind of call, and waits until their connections are open.
func (s *stage) load() *others {
	s.t.Helper()
	calls := []ordinary{
		{http.MethodGet, "/users/1", "", s.key("ada")},
		{http.MethodPost, "/echo", `{"a":1}`, s.key("bob")},
		{http.MethodGet, "/echo/1", "", s.key("cleo")},
		{http.MethodGet, "/items/1", "", s.key("dan")},
	}
	ctx, stop := context.WithCancel(s.t.Context())
	o := &others{s: s, floor: floor, stop: stop, done: make(chan struct{})}
	client := newClient(s.t, "")
	var calling sync.WaitGroup
	for range 32 {
		for _, c := range calls {
			calling.Go(func() { o.call(s.t.Context(), client, c) })
		}
	}
	calling.Wait()
	for _, bad := range o.samples {
		require.Empty(s.t, bad.fault)
	}
	o.samples = nil
	go func() {
		defer close(o.done)
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				calling.Wait()
				return
			case <-tick.C:
				calling.Go(func() { o.call(context.WithoutCancel(ctx), client, calls[i%len(calls)]) })
			}
		}
	}()
	s.t.Cleanup(o.end)
	return o
}

func (o *others) end() {
	o.stop()
	<-o.done
}

func (o *others) call(ctx context.Context, client *http.Client, c ordinary) {
	one := sample{began: time.Now()}
	a := o.s.doBy(ctx, client, c.method, c.path, c.body, "X-Api-Key: "+c.key)
	one.took = time.Since(one.began)
	if a.status != http.StatusOK {
		one.fault = fmt.Sprintf("%s %s: %d %.200s", c.method, c.path, a.status, a.body)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.samples = append(o.samples, one)
}

// between returns the calls that began in a time.
func (o *others) between(from, to time.Time) []sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []sample
	for _, one := range o.samples {
		if !one.began.Before(from) && one.began.Before(to) {
			found = append(found, one)
		}
	}
	return found
}

// pass waits for a time of the load.
func (s *stage) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
	}
}

// figures describe a part of the load.
type figures struct {
	calls  int
	faults []string
	median time.Duration
	p99    time.Duration // the median of those of whole windows
	most   time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("p50 %s p99 %s most %s errors %d/%d", ms(f.median), ms(f.p99), ms(f.most), len(f.faults), f.calls)
}

func ms(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) + " ms" }

func at(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(part*float64(len(sorted)-1)+0.5)]
}

// describe sums samples up.
func describe(samples []sample) figures {
	f := figures{calls: len(samples)}
	if f.calls == 0 {
		return f
	}
	var all, p99s, these []time.Duration
	began := samples[0].began
	for _, one := range samples {
		began = earlier(began, one.began)
	}
	slices.SortFunc(samples, func(a, b sample) int { return a.began.Compare(b.began) })
	close := func() {
		slices.Sort(these)
		p99s = append(p99s, at(these, 0.99))
		these = nil
	}
	for _, one := range samples {
		if one.fault != "" {
			f.faults = append(f.faults, one.fault)
		}
		if one.began.Sub(began) >= window {
			close()
			began = one.began
		}
		all, these = append(all, one.took), append(these, one.took)
	}
	if len(these) >= rate/2 || len(p99s) == 0 {
		close()
	}
	slices.Sort(all)
	slices.Sort(p99s)
	f.median, f.p99, f.most = at(all, 0.5), at(p99s, 0.5), all[len(all)-1]
	return f
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// attack measures the others before, during and after an attack. The attack returns when its context ends.
func (s *stage) attack(name string, during time.Duration, attack func(ctx context.Context)) {
	s.t.Helper()
	s.attackOn(s.load(), name, during, attack)
}

// attackOn is attack with a load that runs.
func (s *stage) attackOn(o *others, name string, during time.Duration, attack func(ctx context.Context)) {
	s.t.Helper()
	began, attacked := o.calm()
	ctx, stop := context.WithTimeout(s.t.Context(), during)
	defer stop()
	attack(ctx)
	stopped := time.Now()
	before := describe(o.between(began, attacked))
	if busy(before) {
		s.t.Logf("the machine is busy with something else: the p99s say little")
	}
	limit := max(time.Duration(maxOvershoot*float64(before.p99)), before.p99+o.floor)
	recovered := o.recovers(stopped, limit)
	meanwhile, after := describe(o.between(attacked, stopped)), describe(o.between(stopped, time.Now()))
	peak := s.peak()
	s.t.Logf("%-28s before: %s | during %.1f s: %s | after: %s, recovered in %.1f s | gateway %d MB at its peak",
		name, before, stopped.Sub(attacked).Seconds(), meanwhile, after, recovered.Seconds(), peak>>20)
	assert.Empty(s.t, before.faults, "errors of the others before")
	assert.Empty(s.t, first(meanwhile.faults), "errors of the others during the attack, such as")
	assert.LessOrEqual(s.t, recovered, maxRecovery, "recovery after the attack")
	if !raceEnabled { // which makes attackers and victims many times slower and larger
		assert.LessOrEqual(s.t, meanwhile.p99, limit, "p99 of the others during the attack")
		assert.LessOrEqual(s.t, peak, maxResident, "peak memory of the gateway, in bytes")
	}
	select {
	case <-s.gateway.Gone():
		assert.Fail(s.t, "the gateway ended")
	default:
	}
}

// calm measures the others before an attack, again for as long as the machine is busy with something else and at most ten
// times. It returns the beginning and the end of the last measurement.
func (o *others) calm() (began, ended time.Time) {
	for range 10 {
		began = time.Now()
		o.s.pass(steady)
		ended = time.Now()
		if !busy(describe(o.between(began, ended))) {
			break
		}
	}
	return began, ended
}

// busy reports whether the load of a time without an attack could not keep its rate.
func busy(before figures) bool {
	return float64(before.calls) < 0.97*rate*steady.Seconds()
}

func first(faults []string) []string { return faults[:min(5, len(faults))] }

// recovers waits for a window without an error and with a p99 within the limit, and returns the time until its beginning.
func (o *others) recovers(stopped time.Time, limit time.Duration) time.Duration {
	for from := stopped; ; from = from.Add(window / 2) {
		if wait := time.Until(from.Add(window + window/4)); wait > 0 {
			o.s.pass(wait)
		}
		f := describe(o.between(from, from.Add(window)))
		if f.calls >= rate/2 && len(f.faults) == 0 && f.p99 <= limit || from.Sub(stopped) > maxRecovery {
			return from.Sub(stopped)
		}
	}
}

// peak returns the largest resident memory that the gateway has had, in bytes; 0 without /proc.
func (s *stage) peak() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.gateway.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if text, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, _ := strconv.Atoi(strings.Fields(text)[0])
			return kilobytes << 10
		}
	}
	return 0
}
