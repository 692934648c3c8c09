package cache

import (
	"cmp"
	"errors"
	"strings"
)

// claiming is the way to look where a copy is not likely: plain commands, which
// cost Redis a fraction of the script. It guesses the nonces: those that were there
// the last time, or that there are none yet. Where the guess was right, nobody has
// the lease and there is no copy, this process leads; of everything else the script
// decides, after it.
//
// The commands are not one step, as the script is. Nonces are read first: what is
// invalidated later, no later look finds. The lease is taken before the copy is
// read: whoever had it before has stored its copy by then.
func (c *Cache) claiming(l *look) *command {
	q := l.query
	claim := &command{plain: make([][]any, 0, len(q.Tags)+2), leaves: func() { c.leaves(l) }}
	guess, fresh := make([]string, len(q.Tags)), len(q.Tags) > 0
	life := q.nonceLife().Milliseconds()
	for i, tag := range q.Tags {
		key := c.keys.tag(q.Space, tag)
		if guess[i] = c.nonces[key]; guess[i] == "" {
			guess[i] = l.token
		} else {
			fresh = false
		}
		claim.add("set", key, l.token, "nx", "px", life, "get")
	}
	guessed := join(guess)
	lease := claim.add("set", c.keys.lease(q.Space, l.digest, guessed), l.token, "nx", "px", c.cfg.Lease.Milliseconds(), "get")
	found := -1
	if !fresh { // of a new nonce there are none
		found = claim.add("get", c.keys.of(q.Space, "cached", l.digest))
	}
	claim.done = func(any, error) {
		seen, err := claim.nonces(len(q.Tags), l.token)
		nonces := join(seen)
		held, leaseErr := claim.text(lease)
		copied, copyErr := "", error(nil)
		if found >= 0 {
			copied, copyErr = claim.text(found)
		}
		if err = errors.Join(err, leaseErr, copyErr); err != nil {
			c.looked(l, nil, err)
			return
		}
		right, free := nonces == guessed, held == "" || held == l.token
		if !right {
			c.learn(q, seen)
		}
		if !right || !free || strings.HasPrefix(copied, nonces+" ") {
			l.claimed = right && free
			c.line.batches.Add(c.looking(l))
			return
		}
		l.nonces, l.absent = nonces, copied == ""
		c.lookedUp(l, "lead", 0)
	}
	return claim
}

// nonces gives those of the first so many commands: what there was, or the new one.
func (c *command) nonces(tags int, token string) ([]string, error) {
	nonces := make([]string, tags)
	for i := range nonces {
		nonce, err := c.text(i)
		if err != nil {
			return nil, err
		}
		nonces[i] = cmp.Or(nonce, token)
	}
	return nonces, nil
}

// claimInstead claims with the nonces that were just read; empty: there is none.
func (c *Cache) claimInstead(l *look, nonces []string) {
	c.learn(l.query, nonces)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.likely, l.digest)
	c.line.batches.Add(c.claiming(l))
}

// mostNonces is how many nonces are remembered, to guess by.
const mostNonces = 20_000

// learn remembers the nonces of a question's tags for the next guess; empty: there
// is none.
func (c *Cache) learn(q *Query, nonces []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nonces) > mostNonces {
		clear(c.nonces)
	}
	for i, tag := range q.Tags {
		if key := c.keys.tag(q.Space, tag); nonces[i] != "" {
			c.nonces[key] = nonces[i]
		} else {
			delete(c.nonces, key)
		}
	}
}
