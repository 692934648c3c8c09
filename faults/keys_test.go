package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// post makes one call with a key, and returns its status and the run that answered.
// Status 0: the connection was lost.
func (s *stage) post(gateway, n int, w work, headers ...string) (status int, run, location string) {
	body, _ := json.Marshal(w) // cannot fail: numbers and strings
	url := fmt.Sprintf("http://%s/things/run/%d", s.listen[gateway%len(s.listen)], n)
	req, _ := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url, io.NopCloser(strings.NewReader(string(body))))
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, "", ""
	}
	defer func() { _ = res.Body.Close() }()
	var envelope struct {
		Result done `json:"result"`
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || json.Unmarshal(text, &envelope) != nil {
		return 0, "", ""
	}
	if res.StatusCode == http.StatusOK && envelope.Result.N != strconv.Itoa(n) {
		return res.StatusCode, "another's: " + envelope.Result.N, ""
	}
	return res.StatusCode, envelope.Result.Run, res.Header.Get("Location")
}

// ends returns the number of runs of each call that ended.
func (s *stage) ends() map[string]int {
	s.t.Helper()
	count := make(map[string]int)
	for _, e := range s.ledger.read(s.t) {
		if e.what == "end" {
			count[e.n]++
		}
	}
	return count
}

// A thousand callers use one key at three gateways while the workers that run the request
// are killed. All callers get the same outcome.
func TestOneKeyManyCallers(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 3, workers: 3})
	callers := times(200, 1000)
	type told struct {
		status int
		run    string
	}
	answers := make(chan told, callers)
	for i := range callers {
		go func() {
			status, run, _ := s.post(i, 1, work{MS: 1500}, "Idempotency-Key: one")
			answers <- told{status, run}
		}()
	}
	const kills = 2
	for range kills {
		p := s.running(1) // on a running worker
		p.Kill()
		for i, w := range s.workers {
			if w == p {
				s.workers[i] = s.worker()
			}
		}
	}
	var first told
	for i := range callers {
		a := <-answers
		if i == 0 {
			first = a
		}
		require.Equal(t, first, a)
	}
	assert.Equal(t, http.StatusOK, first.status)
	s.quiet()
	runs := 0
	for _, e := range s.ledger.read(t) {
		if e.what == "run" {
			runs++
		}
	}
	assert.Equal(t, kills+1, runs, "one after the last kill")
	assert.Equal(t, map[string]int{"1": 1}, s.ends())
	t.Logf("key-storm: %d callers, %d kills, 1 outcome, %d runs", callers, kills, runs)
}

// Many keys are sent three times each, in random order, to random gateways, which are killed
// one after the other. Each key runs once, and gets its own outcome.
func TestKeysOutliveGateways(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 3, workers: 2, idle: calmIdleLimit})
	keys := times(300, 10_000)
	const sends = 3
	order := make([]int, 0, sends*keys)
	for i := range sends * keys {
		order = append(order, i%keys+1)
	}
	s.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	gateways := make([]int, len(order))
	for i := range gateways {
		gateways[i] = s.rng.IntN(len(s.listen))
	}
	var next, kills, lost atomic.Int64
	var mu sync.Mutex
	runs := make(map[int]string) // the run that answered each key
	check := func(n, status int, run string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case status != http.StatusOK:
			lost.Add(1)
		case runs[n] == "":
			runs[n] = run
		default:
			assert.Equal(t, runs[n], run, "key %d", n)
		}
	}
	var asking sync.WaitGroup
	for range 32 {
		asking.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(order); i = next.Add(1) - 1 {
				n := order[i]
				status, run, _ := s.post(gateways[i], n, work{MS: 5}, "Idempotency-Key: key-"+strconv.Itoa(n))
				check(n, status, run)
			}
		})
	}
	killing := make(chan struct{})
	go func() { // one per second while there are callers
		defer close(killing)
		for i := 0; int(next.Load()) < len(order); i++ {
			s.pass(time.Duration(times(200, 1000)) * time.Millisecond)
			s.gateways[i%3].Kill()
			s.gateways[i%3] = s.gateway(i % 3)
			kills.Add(1)
		}
	}()
	asking.Wait()
	<-killing
	for i := range s.gateways {
		s.serves(i)
	}
	s.quiet()
	for n := 1; n <= keys; n++ { // all callers repeat their call
		status, run, _ := s.post(n, n, work{MS: 5}, "Idempotency-Key: key-"+strconv.Itoa(n))
		require.Equal(t, http.StatusOK, status, "key %d", n)
		check(n, status, run)
	}
	s.quiet()
	ends := s.ends()
	for n := 1; n <= keys; n++ {
		assert.Equal(t, 1, ends[strconv.Itoa(n)], "runs of key %d", n)
	}
	t.Logf("keys: %d keys, %d sends, %d gateways killed, %d sends without an answer, each ran once", keys, len(order), kills.Load(), lost.Load())
}

// Many callers wait for tickets by long polling and by events. The cost is bounded, and each
// caller gets the outcome.
func TestManyWaitForTickets(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 1, workers: 1, idle: calmIdleLimit, concurrency: 1})
	tickets := times(200, 10_000)
	n := s.number()
	status, _, _ := s.post(0, n, work{MS: 1}, "Prefer: respond-async")
	require.Equal(t, http.StatusAccepted, status)
	s.quiet()
	before := s.resident(s.gateways[0])
	s.workers[0].freeze() // no request ends during the measurement
	locations := make([]string, tickets)
	for i := range locations {
		status, _, locations[i] = s.post(0, s.number(), work{}, "Prefer: respond-async")
		require.Equal(t, http.StatusAccepted, status)
	}
	var waiting sync.WaitGroup
	var told atomic.Int64
	// Not all at once: a gateway that cannot look up so many in time refuses some of them.
	const together = 500
	for i, location := range locations {
		waiting.Go(func() {
			if s.awaits(location, i%2 == 0) {
				told.Add(1)
			}
		})
		if begun := i + 1; begun%together != 0 && begun != tickets {
			continue
		}
		group := locations[i/together*together : i+1]
		for end := time.Now().Add(4 * patience); s.watched(group) < len(group); s.pass(250 * time.Millisecond) {
			require.True(t, time.Now().Before(end), "all wait")
		}
	}
	s.pass(5 * time.Second) // the first, frequent polls become rare
	commands := s.commands()
	const window = 5 * time.Second
	s.pass(window)
	rate := float64(s.commands()-commands) / window.Seconds()
	memory := s.resident(s.gateways[0]) - before
	s.workers[0].thaw()
	waiting.Wait()
	assert.EqualValues(t, tickets, told.Load())
	assert.Less(t, rate, 50+float64(tickets)/2, "Redis commands a second")
	t.Logf("tickets: %d wait, half by events: %d KB of the gateway, %.0f Redis commands a second, all told", tickets, memory, rate)
}

// awaits waits for the end of a request, and reports whether it got the outcome.
func (s *stage) awaits(location string, events bool) bool {
	for range 100 {
		path := location + "?wait=60"
		if events {
			path = location + "/events"
		}
		req, _ := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.listen[0]+path, http.NoBody)
		res, err := (&http.Client{Transport: s.client.Transport}).Do(req)
		if err != nil {
			s.t.Logf("waiting at %s: %v", path, err)
			return false
		}
		if res.StatusCode != http.StatusOK {
			s.t.Logf("waiting at %s: %s", path, res.Status)
		}
		found := false
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			found = found || strings.Contains(lines.Text(), `"state":"done"`)
		}
		_ = res.Body.Close()
		if found {
			return true
		}
	}
	return false
}

// watched returns how many of the requests have waiting callers.
func (s *stage) watched(locations []string) int {
	ctx := s.t.Context()
	pipe, count := s.conn.Redis().Pipeline(), 0
	for _, location := range locations {
		id := strings.TrimPrefix(location, "/requests/"+service+".")
		pipe.HGet(ctx, s.conn.Keys.Record(service, id), "channels")
	}
	found, _ := pipe.Exec(ctx) // a record without waiting callers is an error
	for _, cmd := range found {
		if text, ok := cmd.(interface{ Val() string }); ok && text.Val() != "" {
			count++
		}
	}
	return count
}

// commands returns the number of commands that Redis has executed.
func (s *stage) commands() int {
	s.t.Helper()
	info, err := s.conn.Redis().Info(context.WithoutCancel(s.t.Context()), "stats").Result()
	require.NoError(s.t, err)
	for line := range strings.Lines(info) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "total_commands_processed:"); found {
			n, err := strconv.Atoi(text)
			require.NoError(s.t, err)
			return n
		}
	}
	require.Fail(s.t, "Redis does not say how many commands it has run")
	return 0
}

// resident waits for the next report of the memory of a process, in KB.
func (s *stage) resident(p *process) int {
	s.t.Helper()
	seen := len(s.ledger.read(s.t))
	kilobytes := 0
	s.eventually("a process tells what it holds", func() bool {
		for _, e := range s.ledger.read(s.t)[seen:] {
			if e.what == "stat" && e.pid == p.PID() {
				kilobytes, _ = strconv.Atoi(e.id)
			}
		}
		return kilobytes > 0
	})
	return kilobytes
}
