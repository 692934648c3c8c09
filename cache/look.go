package cache

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/internal/token"
)

// The ways to look (lua/look.lua).
const (
	modeLook  = "look"
	modeFresh = "fresh"
	modePeek  = "peek"
)

// look is one look at Redis, for all who asked the same before it left.
type look struct {
	query  *Query
	digest string
	mode   string
	run    Run
	token  string
	asking int           // how many; guarded by Cache.mu
	done   chan struct{} // closed when what follows is known
	at     time.Time     // when it left
	err    error
	led    bool    // this look gave the right to run
	flight *flight // under way; nil: there is a copy, or none and none is made
	found  copied
	nonces string

	claimed bool      // it took the lease before it knew that there is a copy
	absent  bool      // there was no copy, not even one that is worth nothing
	inline  bool      // who asked first runs it, and waits for the end
	began   time.Time // of the run

	extending bool // its lease is about to be extended; guarded by Cache.mu
}

// copied is a copy as it was found.
type copied struct {
	value string
	left  time.Duration // until it is no longer fresh
	life  time.Duration // in all
	at    time.Time     // of the look
}

// age is how old a copy is now; stale is how much of its life is stale.
func (c *copied) age(now time.Time, stale time.Duration) time.Duration {
	return max(0, c.life-stale-c.left+now.Sub(c.at))
}

// ask looks for a question together with those who ask it now, in any case not
// by a look that has left already: that may have seen what is invalidated since.
// It reports whether this is the first to ask. Who stays, and is the first, runs
// the question itself where the look says so: see look.inline.
func (c *Cache) ask(q *Query, mode string, run Run, stays bool) (*look, bool, error) {
	digest := q.digest()
	alone := mode == modeFresh
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	if l := c.looks[digest+mode]; l != nil && !alone {
		if l.asking >= c.cfg.MaxWaiting {
			return nil, false, ErrCrowded
		}
		l.asking++
		return l, false, nil
	}
	l := &look{query: q, digest: digest, mode: mode, run: run, token: token.New(token.NameBytes), asking: 1, done: make(chan struct{}), inline: stays}
	if !alone {
		c.looks[digest+mode] = l
	}
	switch {
	case mode != modeLook:
		c.line.batches.Add(c.looking(l))
	case c.likely[digest]:
		c.line.batches.Add(c.reading(l))
	default:
		c.line.batches.Add(c.claiming(l))
	}
	return l, true, nil
}

// leaves marks a look as gone: nobody may join it any more.
func (c *Cache) leaves(l *look) {
	c.cfg.at(StepLook, l.query.Identity)
	c.mu.Lock()
	if c.looks[l.digest+l.mode] == l {
		delete(c.looks, l.digest+l.mode)
	}
	c.mu.Unlock()
	l.at = time.Now()
}

// reading is the way to look where a copy is likely: it costs Redis a fraction
// of the script.
func (c *Cache) reading(l *look) *command {
	q := l.query
	args := make([]any, 2, 2+len(q.Tags))
	args[0], args[1] = "mget", c.keys.of(q.Space, "cached", l.digest)
	for _, tag := range q.Tags {
		args = append(args, c.keys.tag(q.Space, tag))
	}
	read := &command{leaves: func() { c.leaves(l) }}
	got, ttl := read.add(args...), read.add("pttl", args[1])
	read.done = func(_ any, err error) {
		values, gotErr := read.answers[got].Slice()
		left, _ := read.answers[ttl].Int64()
		if err = errors.Join(err, gotErr); err != nil || len(values) != 1+len(q.Tags) {
			c.lookInstead(l, err)
			return
		}
		nonces := make([]string, len(q.Tags))
		for i, value := range values[1:] {
			nonces[i], _ = value.(string)
		}
		copied, _ := values[0].(string)
		if copied == "" {
			c.claimInstead(l, nonces)
			return
		}
		l.nonces = join(nonces)
		copied, same := strings.CutPrefix(copied, l.nonces+" ")
		if left -= q.Policy.stale().Milliseconds(); !same || left <= 0 {
			c.lookInstead(l, nil)
			return
		}
		c.looked(l, []any{"hit", l.nonces, int64(0), left, copied}, nil)
	}
	return read
}

// join writes nonces as copies, leases and flights name them.
func join(nonces []string) string {
	if len(nonces) == 0 {
		return "-"
	}
	return strings.Join(nonces, ",")
}

// lookInstead looks by the script after all.
func (c *Cache) lookInstead(l *look, err error) {
	c.mu.Lock()
	delete(c.likely, l.digest)
	c.mu.Unlock()
	if err != nil {
		c.looked(l, nil, err)
		return
	}
	c.line.batches.Add(c.looking(l))
}

// mostLikely is how many questions are known to be likely to have a copy.
const mostLikely = 100_000

// isLikely notes that there is a copy.
func (c *Cache) isLikely(digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.likely) >= mostLikely {
		clear(c.likely)
	}
	c.likely[digest] = true
}

// looking is the way to look by the script.
func (c *Cache) looking(l *look) *command {
	q := l.query
	return &command{
		script: &c.line.look, keys: c.keys.look(q, l.digest),
		args: []any{
			l.token, c.cfg.Lease.Milliseconds(), c.channel, q.Policy.stale().Milliseconds(), q.nonceLife().Milliseconds(), l.mode,
		},
		leaves: func() { c.leaves(l) },
		done: func(answer any, err error) {
			c.looked(l, answer, err)
			if l.err == nil && l.found.left > 0 {
				c.isLikely(l.digest)
			}
		},
	}
}

// looked takes the answer of Redis, and begins or joins what it says.
func (c *Cache) looked(l *look, answer any, err error) {
	if err != nil {
		l.err = err
		close(l.done)
		return
	}
	what, wait, err := l.read(answer)
	if err != nil {
		l.err = err
		close(l.done)
		return
	}
	c.lookedUp(l, what, wait)
}

// lookedUp begins or joins what a look gave.
func (c *Cache) lookedUp(l *look, what string, wait time.Duration) {
	defer close(l.done)
	l.led = what == "lead"
	switch what {
	case "hit":
		c.near.put(l.query, l.found)
		if l.claimed {
			c.release(l, Outcome{Value: l.found.value})
		}
	case "lead":
		if l.mode == modeFresh {
			l.flight = newFlight(c, l)
		} else {
			l.flight = c.flightOf(l)
		}
		l.flight.lead(l)
	case "wait":
		l.flight = c.flightOf(l)
		l.flight.follow(l, wait)
	}
}

var errLook = errors.New("look: not what was expected")

// read takes the answer of look.lua apart.
func (l *look) read(answer any) (what string, wait time.Duration, err error) {
	fields, _ := answer.([]any)
	if len(fields) < 4 {
		return "", 0, errLook
	}
	what, _ = fields[0].(string)
	l.nonces, _ = fields[1].(string)
	lease, _ := fields[2].(int64)
	if len(fields) < 5 {
		return what, time.Duration(lease) * time.Millisecond, nil
	}
	left, _ := fields[3].(int64)
	copied, _ := fields[4].(string)
	life, value, found := strings.Cut(copied, " ")
	ms, err := strconv.ParseInt(life, 10, 64)
	if err != nil || !found {
		return "", 0, errLook
	}
	l.found.value, l.found.at = value, l.at
	l.found.left, l.found.life = time.Duration(left)*time.Millisecond, time.Duration(ms)*time.Millisecond
	return what, time.Duration(lease) * time.Millisecond, nil
}

// head is what the message about an outcome begins with.
func (l *look) head(o Outcome) string {
	broken := "-"
	if o.Broken {
		broken = "broken"
	}
	return l.digest + " " + l.nonces + " " + l.token + " " + broken + " " + strconv.Itoa(len(o.Value)) + "\n"
}
