package cache

import (
	"cmp"
	"errors"
	"strings"
)

// claim returns the commands that look up a query for which no entry is likely:
// they cost Redis a fraction of the script. They guess the nonces of the tags: those
// of the last lookup, or that a tag has none. If the guess is right, the lease is
// free and there is no entry, this process leads. In every other case the script
// follows and decides.
//
// Unlike the script, the commands are not one atomic step. Their order makes that
// safe. The nonces are read first: a later lookup never reads a nonce that an
// invalidation replaces after that. The lease is taken before the entry is read: the
// leader that held it before has stored its entry by then.
func (l *lookup) claim() *command {
	c, q := l.cache, l.query
	claim := &command{plain: make([][]any, 0, len(q.Tags)+2), depart: l.depart}
	guess := make([]string, len(q.Tags))
	life := q.Policy.nonceLife().Milliseconds()
	for i, tag := range q.Tags {
		key := c.keys.tag(q.Space, tag)
		guess[i] = cmp.Or(c.hints.nonce(key), l.token)
		claim.add("set", key, l.token, "nx", "px", life, "get")
	}
	guessed := join(guess)
	leased := claim.add("set", c.keys.lease(q.Space, l.digest, guessed), l.token, "nx", "px", c.cfg.Lease.Milliseconds(), "get")
	found := claim.add("get", c.keys.entry(q.Space, l.digest))
	claim.done = func(any, error) {
		seen, err := claim.nonces(len(q.Tags), l.token)
		nonces := join(seen)
		holder, leaseErr := claim.text(leased)
		text, textErr := claim.text(found)
		if err = errors.Join(err, leaseErr, textErr); err != nil {
			l.fail(err)
			return
		}
		right, free := nonces == guessed, holder == "" || holder == l.token
		if !right {
			c.hints.sawNonces(c.keys, q, seen)
		}
		if right && free && !strings.HasPrefix(text, nonces+" ") {
			l.lead(nonces, entry{}, text == "")
			return
		}
		var claimed *lease
		if right && free {
			claimed = l.lease(nonces, false)
		}
		c.pipe.add(l.script(claimed))
	}
	return claim
}

// nonces returns the nonces that the first commands read or set.
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
