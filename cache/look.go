package cache

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
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

// randomToken is unguessable, and so new that nobody had it before.
func randomToken() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // which never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ask looks for a question together with those who ask it now, in any case not
// by a look that has left already: that may have seen what is invalidated since.
// It reports whether this is the first to ask.
func (c *Cache) ask(q *Query, mode string, run Run) (*look, bool, error) {
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
	l := &look{query: q, digest: digest, mode: mode, run: run, token: randomToken(), asking: 1, done: make(chan struct{})}
	if !alone {
		c.looks[digest+mode] = l
	}
	// A nonce outlives some generations of copies. With it, those that are left end.
	nonceLife := 4*q.Policy.life() + time.Minute
	c.line.batches.Add(&command{
		script: c.line.look, keys: c.keys.look(q, digest),
		args: []any{
			l.token, c.cfg.Lease.Milliseconds(), c.channel, q.Policy.stale().Milliseconds(), nonceLife.Milliseconds(), mode,
		},
		leaves: func() {
			c.cfg.at(StepLook, q.Identity)
			c.mu.Lock()
			if c.looks[digest+mode] == l {
				delete(c.looks, digest+mode)
			}
			c.mu.Unlock()
			l.at = time.Now()
		},
		done: func(answer any, err error) { c.looked(l, answer, err) },
	})
	return l, true, nil
}

// looked takes the answer of Redis, and begins or joins what it says.
func (c *Cache) looked(l *look, answer any, err error) {
	defer close(l.done)
	if err != nil {
		l.err = err
		return
	}
	what, wait, err := l.read(answer)
	if err != nil {
		l.err = err
		return
	}
	l.led = what == "lead"
	switch {
	case what == "hit":
		c.near.put(l.query, l.found)
	case what == "lead" && l.mode == modeFresh:
		l.flight = newFlight(c, l)
		l.flight.lead(l)
	case what == "lead":
		l.flight = c.flightOf(l)
		l.flight.lead(l)
	case what == "wait":
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
