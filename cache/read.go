package cache

import (
	"errors"
	"strings"
)

// read returns the commands that look up a query for which an entry is likely: they
// only read, at a fraction of the script's cost. If there is no fresh entry, a
// claim or the script follows.
func (l *lookup) read() *command {
	c, q := l.cache, l.query
	args := make([]any, 2, 2+len(q.Tags))
	args[0], args[1] = "mget", c.keys.entry(q.Space, l.digest)
	for _, tag := range q.Tags {
		args = append(args, c.keys.tag(q.Space, tag))
	}
	read := &command{depart: l.depart}
	got, ttl := read.add(args...), read.add("pttl", args[1])
	read.done = func(_ any, err error) {
		values, gotErr := read.answers[got].Slice()
		left, _ := read.answers[ttl].Int64()
		if err = errors.Join(err, gotErr); err == nil && len(values) != 1+len(q.Tags) {
			err = errAnswer
		}
		if err != nil {
			l.fail(err)
			return
		}
		text, _ := values[0].(string)
		seen := make([]string, len(q.Tags))
		for i, value := range values[1:] {
			seen[i], _ = value.(string)
		}
		nonces := join(seen)
		text, current := strings.CutPrefix(text, nonces+" ")
		left -= q.Policy.stale().Milliseconds()
		switch found, err := parseEntry(text, left, l.sent); {
		case values[0] == nil:
			c.hints.sawNoEntry(l.digest)
			c.hints.sawNonces(c.keys, q, seen)
			c.pipe.add(l.claim())
		case !current || left <= 0:
			c.hints.sawNoEntry(l.digest)
			c.pipe.add(l.script(nil))
		case err != nil:
			l.fail(err)
		default:
			l.hit(found)
		}
	}
	return read
}
