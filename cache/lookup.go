package cache

import (
	"errors"
	"time"

	"github.com/oskadev/mailroom/internal/token"
)

// The modes of a lookup; see lua/lookup.lua.
const (
	modeLook  = "look"
	modeFresh = "fresh"
	modePeek  = "peek"
)

var errAnswer = errors.New("lookup: Redis answered in an unknown form")

// lookup is one lookup in Redis. Callers whose identical queries arrive before it
// is sent share it.
type lookup struct {
	cache   *Cache
	query   *Query
	digest  string
	mode    string
	run     Run
	token   string        // of the lease, and the nonce of tags without one
	callers int           // guarded by Cache.mu
	sent    time.Time     // when it was sent
	done    chan struct{} // closed once result is valid
	result  result
}

// result is the result of a lookup.
type result struct {
	entry  entry   // fresh or stale
	flight *flight // nil: there is no run to wait for
	led    bool    // the lookup got the lease: this process runs the query
	inline *lease  // not nil: the first caller runs the query
	err    error   // Redis did not answer
}

// lookUp starts a lookup, or joins one that has not been sent. It never joins one
// that has been sent: that may have read nonces that were replaced since. first
// reports that it started one. The error is errNoEpoch if Redis does not answer.
func (c *Cache) lookUp(q *Query, mode string, run Run) (l *lookup, first bool, err error) {
	if !c.tasks.enter() {
		return nil, false, ErrClosed
	}
	defer c.tasks.leave() // once the command is queued, the pipeline answers it
	epoch, err := c.epoch(q.Space)
	if err != nil {
		return nil, false, err
	}
	digest := q.digest(epoch)
	key := digest + mode
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lookups[key]; l != nil && mode != modeFresh {
		if l.callers >= c.cfg.MaxWaiting {
			return nil, false, ErrCrowded
		}
		l.callers++
		return l, false, nil
	}
	l = &lookup{cache: c, query: q, digest: digest, mode: mode, run: run, token: token.New(token.NameBytes), callers: 1, done: make(chan struct{})}
	if mode != modeFresh {
		c.lookups[key] = l
	}
	switch {
	case mode != modeLook:
		c.pipe.add(l.script(nil))
	case c.hints.hasEntry(digest):
		c.pipe.add(l.read())
	default:
		c.pipe.add(l.claim())
	}
	return l, true, nil
}

// depart marks the lookup as sent: no further query can join it.
func (l *lookup) depart() {
	c := l.cache
	c.cfg.at(stepLookup, l.query.Identity)
	c.mu.Lock()
	if c.lookups[l.digest+l.mode] == l {
		delete(c.lookups, l.digest+l.mode)
	}
	c.mu.Unlock()
	l.sent = time.Now()
}

// script returns the command that looks up by lua/lookup.lua. claimed is the lease
// that a claim has taken already, or nil.
func (l *lookup) script(claimed *lease) *command {
	c, policy := l.cache, l.query.Policy
	return &command{
		script: &c.pipe.scripts.lookup, keys: c.keys.lookup(l.query, l.digest),
		args: []any{
			l.token, c.cfg.Lease.Milliseconds(), c.subscription.channel, policy.stale().Milliseconds(), policy.nonceLife().Milliseconds(), l.mode,
		},
		depart: l.depart,
		done: func(answer any, err error) {
			found, err := parseScript(answer, l.sent, err)
			if err != nil {
				l.fail(err)
				return
			}
			switch found.what {
			case "hit":
				c.hints.sawEntry(l.digest)
				l.hit(found.entry)
				if claimed != nil {
					c.filler.giveBack(claimed, Outcome{Value: found.entry.value})
				}
			case "lead":
				l.lead(found.nonces, found.entry, false)
			case "wait":
				l.wait(found.nonces, found.entry, found.wait)
			default:
				close(l.done)
			}
		},
	}
}

// scriptAnswer is the answer of lua/lookup.lua.
type scriptAnswer struct {
	what   string // hit, lead, wait or none
	nonces string
	wait   time.Duration // until the lease of the leader ends
	entry  entry
}

func parseScript(answer any, sent time.Time, err error) (scriptAnswer, error) {
	fields, _ := answer.([]any)
	if err != nil {
		return scriptAnswer{}, err
	}
	if len(fields) < 4 {
		return scriptAnswer{}, errAnswer
	}
	var a scriptAnswer
	a.what, _ = fields[0].(string)
	a.nonces, _ = fields[1].(string)
	wait, _ := fields[2].(int64)
	a.wait = time.Duration(wait) * time.Millisecond
	if len(fields) == 4 {
		return a, nil
	}
	left, _ := fields[3].(int64)
	text, _ := fields[4].(string)
	a.entry, err = parseEntry(text, left, sent)
	return a, err
}

// fail ends a lookup that Redis did not answer.
func (l *lookup) fail(err error) {
	l.result.err = err
	close(l.done)
}

// hit ends a lookup that found a fresh entry.
func (l *lookup) hit(found entry) {
	l.cache.local.put(l.query, found)
	l.result.entry = found
	close(l.done)
}

// lead ends a lookup that got the lease: the query runs here. vacant reports that
// there is no entry at all, not even one with other nonces.
func (l *lookup) lead(nonces string, stale entry, vacant bool) {
	c := l.cache
	held := l.lease(nonces, vacant)
	var f *flight
	if held.fresh {
		f = newFlight(c, l, nonces)
	} else {
		f = c.flightFor(l, nonces)
	}
	l.result = result{entry: stale, flight: f, led: true}
	// A caller that gets the stale entry does not wait for the run.
	if l.query.Inline && !stale.isStaleWithin(l.query.Policy.StaleWhileRevalidate) {
		l.result.inline = held
	}
	f.lead(l, held)
	close(l.done)
}

// lease returns the lease that the lookup took for these nonces.
func (l *lookup) lease(nonces string, vacant bool) *lease {
	return &lease{query: l.query, digest: l.digest, nonces: nonces, token: l.token, fresh: l.mode == modeFresh, vacant: vacant, since: l.sent}
}

// wait ends a lookup that found another leader, whose lease ends after a time.
func (l *lookup) wait(nonces string, stale entry, ends time.Duration) {
	c := l.cache
	f := c.flightFor(l, nonces)
	l.result = result{entry: stale, flight: f}
	f.follow(l, ends)
	close(l.done)
}
