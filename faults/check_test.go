package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// totals are the counts of one case.
type totals struct {
	accepted   int // or possibly accepted
	run        int
	answered   int
	duplicates int // runs beyond the first of a call
	unsafe     int // duplicates of unsafe calls
	unknown    int // calls without an answer
	refused    int
	dead       int
	expired    int
	lost       int // accepted, but neither ended nor waiting
	late       int // frozen between the start of the run and the first line of the handler
	recovered  time.Duration
	slowest    time.Duration
	reasons    []string // of refused and unknown calls
}

func (n *totals) String() string {
	return fmt.Sprintf("accepted %d, run %d, answered %d, duplicates %d (%d unsafe), unknown %d, refused %d, dead %d, expired %d, lost %d, late %d, "+
		"recovered in %.2f s, slowest %.2f s",
		n.accepted, n.run, n.answered, n.duplicates, n.unsafe, n.unknown, n.refused, n.dead, n.expired, n.lost, n.late,
		n.recovered.Seconds(), n.slowest.Seconds())
}

// history holds the events of one request.
type history struct {
	runs []event
	ends map[string]bool // runs that ended
}

// outcomes holds the times at which requests began and were settled.
type outcomes struct {
	begun   map[string]int64 // by request, process and attempt
	settled map[string]int64 // by request, the first time
}

// kept is the record of one unsafe request in Redis.
type kept struct{ state, run string }

// check waits until the mailbox is empty, compares the ledger with the answers of the
// callers and with Redis, prints the totals, and starts a new ledger. A request may be lost
// or run again only if Redis itself lost data.
func (s *stage) check(name string, lossy bool) *totals {
	s.t.Helper()
	s.quiet()
	s.mu.Lock()
	calls, faults := s.calls, s.faults
	s.calls, s.faults = nil, nil
	s.mu.Unlock()
	byCall, hooks := histories(s.ledger.take(s.t))
	records, letters := s.records(), s.letters()
	n := &totals{}
	for _, c := range calls {
		h := byCall[strconv.Itoa(c.n)]
		if h == nil {
			h = &history{}
		}
		s.judge(n, c, h, hooks, records, lossy)
	}
	for id, k := range records {
		switch k.state {
		case "done", "expired":
		case "dead":
			assert.Equal(s.t, 1, letters[id], "dead letters of %s", id)
		default:
			n.lost++
			if !lossy {
				assert.Fail(s.t, "a record is in a state that is no end", "%s: %q", id, k.state)
			}
		}
	}
	n.recovered = recovered(calls, faults)
	_, err := fmt.Fprintf(s.t.Output(), "%s: %s\n", name, n)
	require.NoError(s.t, err)
	assert.NotEmpty(s.t, calls)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s, refused and unknown:\n%s", name, strings.Join(n.reasons[:min(20, len(n.reasons))], "\n"))
		}
	})
	return n
}

func histories(events []event) (map[string]*history, outcomes) {
	byCall := make(map[string]*history)
	o := outcomes{begun: make(map[string]int64), settled: make(map[string]int64)}
	of := func(n string) *history {
		if byCall[n] == nil {
			byCall[n] = &history{ends: make(map[string]bool)}
		}
		return byCall[n]
	}
	for _, e := range events {
		switch e.what {
		case "run":
			of(e.n).runs = append(of(e.n).runs, e)
		case "end":
			of(e.n).ends[fmt.Sprintf("%d.%d", e.pid, e.attempt)] = true
		case "begin":
			o.begun[begunKey(e)] = max(o.begun[begunKey(e)], e.at)
		case "settled":
			if o.settled[e.id] == 0 {
				o.settled[e.id] = e.at
			}
		}
	}
	return byCall, o
}

func begunKey(e event) string { return fmt.Sprintf("%s/%d", e.id, e.pid) }

// judge checks one call.
func (s *stage) judge(n *totals, c *call, h *history, o outcomes, records map[string]kept, lossy bool) {
	s.t.Helper()
	id := c.id
	for _, r := range h.runs {
		// The HTTP client repeats a safe call after its connection was lost.
		assert.True(s.t, c.safe || id == "" || id == r.id, "call %d is request %s and %s", c.n, id, r.id)
		id = r.id
	}
	k := records[id]
	n.run += len(h.runs)
	n.duplicates += max(0, len(h.runs)-1)
	if !c.safe {
		n.unsafe += max(0, len(h.runs)-1)
	}
	switch c.fate {
	case answered:
		n.accepted++
		n.answered++
		n.slowest = max(n.slowest, c.ended.Sub(c.began))
		assert.True(s.t, h.ends[c.run], "call %d got the result of a run that did not end: %s", c.n, c.run)
		if !c.safe && !lossy {
			assert.Contains(s.t, []string{"", "done"}, k.state, "call %d was answered", c.n)
			assert.Contains(s.t, []string{"", c.run}, k.run, "call %d got another outcome than what is stored", c.n)
		}
	case dead:
		n.accepted++
		n.dead++
		assert.True(s.t, c.safe || k.state == "dead", "call %d was told that it is dead, and is %q", c.n, k.state)
	case refused:
		n.refused++
		n.reasons = append(n.reasons, c.said)
		assert.Empty(s.t, h.runs, "call %d was refused and ran: %s", c.n, c.said)
	case unknown:
		n.unknown++
		n.reasons = append(n.reasons, c.said)
		s.judgeUnknown(n, c, h, k, id, lossy)
	default:
		assert.Fail(s.t, "a call ended as none may", "call %d: %d %s", c.n, c.status, c.said)
	}
	if c.safe || lossy {
		return
	}
	for _, r := range h.runs {
		// The worker checked that it still had the request. A process can also be frozen between that check and
		// the first line of the handler, and then runs the handler when it is thawed.
		began := o.begun[begunKey(r)]
		assert.False(s.t, began == 0 || o.settled[id] != 0 && began > o.settled[id],
			"call %d, request %s: attempt %d began %v after the outcome was stored", c.n, id, r.attempt, time.Duration(began-o.settled[id]))
		assert.False(s.t, c.fate == answered && began > c.ended.UnixNano(), "call %d ran after it was answered", c.n)
		if o.settled[id] != 0 && r.at > o.settled[id] {
			n.late++
		}
	}
}

// judgeUnknown checks a call without an answer: its caller can still read the outcome.
func (s *stage) judgeUnknown(n *totals, c *call, h *history, k kept, id string, lossy bool) {
	s.t.Helper()
	if c.safe {
		n.accepted++
		return
	}
	if c.status == http.StatusGatewayTimeout {
		assert.Equal(s.t, "/requests/things."+id, c.location, "call %d", c.n)
	}
	switch {
	case k.state == "expired":
		n.accepted++
		n.expired++
		assert.Empty(s.t, h.runs, "call %d expired and ran", c.n)
	case k.state != "":
		n.accepted++ // check looks at the state of every record
	case len(h.runs) > 0:
		n.accepted++
		n.lost++
		assert.True(s.t, lossy, "call %d ran and nothing is known of it", c.n)
	default: // the request never arrived
	}
}

// records returns the records of all unsafe requests.
func (s *stage) records() map[string]kept {
	s.t.Helper()
	ctx, prefix := s.t.Context(), s.conn.Keys.Record(service, "")
	rdb := s.conn.Redis()
	master, err := s.conn.Master(ctx, prefix)
	require.NoError(s.t, err)
	found := make(map[string]kept)
	keys := master.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	var batch []string
	flush := func() {
		pipe := rdb.Pipeline()
		answers := make([]*redis.SliceCmd, len(batch))
		for i, key := range batch {
			answers[i] = pipe.HMGet(ctx, key, "state", "outcome")
		}
		_, err := pipe.Exec(ctx)
		require.NoError(s.t, err)
		for i, key := range batch {
			values := answers[i].Val()
			if values[0] == nil && values[1] == nil {
				continue // it has expired
			}
			state, _ := values[0].(string)
			outcome, _ := values[1].(string)
			if state == "" {
				continue // a long reply to a safe request
			}
			found[strings.TrimPrefix(key, prefix)] = kept{state: state, run: runOf(outcome)}
		}
		batch = batch[:0]
	}
	for keys.Next(ctx) {
		if batch = append(batch, keys.Val()); len(batch) == 1000 {
			flush()
		}
	}
	require.NoError(s.t, keys.Err())
	if len(batch) > 0 {
		flush()
	}
	return found
}

// runOf returns the run that made a stored outcome.
func runOf(outcome string) string {
	_, envelope, _ := strings.Cut(outcome, " ")
	var read struct {
		Result done `json:"result"`
	}
	if json.Unmarshal([]byte(envelope), &read) != nil {
		return ""
	}
	return read.Result.Run
}

// letters returns the number of dead letters of each request.
func (s *stage) letters() map[string]int {
	s.t.Helper()
	found, err := s.conn.Redis().XRange(s.t.Context(), s.conn.Keys.Dead(service), "-", "+").Result()
	require.NoError(s.t, err)
	count := make(map[string]int)
	for _, letter := range found {
		id, _ := letter.Values["id"].(string)
		count[id]++
	}
	return count
}

// recovered returns the time from a fault to the first answer to a call that was made after
// the fault; of several faults the longest.
func recovered(calls []*call, faults []time.Time) time.Duration {
	longest := time.Duration(0)
	for _, fault := range faults {
		first := time.Duration(-1)
		for _, c := range calls {
			if took := c.ended.Sub(fault); c.fate == answered && c.began.After(fault) && (first < 0 || took < first) {
				first = took
			}
		}
		longest = max(longest, first)
	}
	return longest
}
