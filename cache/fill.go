package cache

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Sizes of a value, in bytes.
const (
	longMessage = 64 << 10 // longer ones are not published but left in Redis
	mostHanded  = 4 << 20  // longer ones are not handed to other processes
)

// fill stores the outcome of a run and hands it to the processes that wait.
func (c *Cache) fill(l *look, o Outcome) {
	life := time.Duration(0)
	if o.Store && len(o.Value) <= c.cfg.MaxValue && !c.full.Load() {
		life = l.query.Policy.life()
	}
	if len(o.Value) > mostHanded {
		return // those who wait look again when the lease has ended
	}
	c.cfg.at(StepFill, l.query.Identity)
	var left time.Time
	c.line.batches.Add(&command{
		script: c.line.fill, keys: c.keys.look(l.query, l.digest),
		args:   []any{l.token, l.nonces, life.Milliseconds(), o.Value, l.head(o), longMessage},
		leaves: func() { left = time.Now() },
		done: func(answer any, err error) {
			if stored, _ := answer.(int64); err == nil && stored == 1 {
				c.cfg.at(StepFilled, l.query.Identity)
				c.stored.Add(1)
				c.near.put(l.query, copied{value: o.Value, left: l.query.Policy.TTL, life: life, at: left})
			}
		},
	})
}

// handed takes an outcome that another process made for those who wait here.
func (c *Cache) handed(ctx context.Context, payload string) {
	head, value, _ := strings.Cut(payload, "\n")
	fields := strings.Fields(head)
	if len(fields) != 5 {
		c.log.Warn("dropped a message that cannot be read", "bytes", len(payload))
		return
	}
	digest, nonces, token, broken := fields[0], fields[1], fields[2], fields[3] == "broken"
	size, err := strconv.Atoi(fields[4])
	c.mu.Lock()
	f := c.flights[digest+" "+nonces]
	if f != nil && f.leading {
		f = nil
	}
	c.mu.Unlock()
	if f == nil || err != nil {
		return
	}
	if len(value) == size {
		f.end(Outcome{Value: value, Broken: broken}, true, nil)
		return
	}
	c.running(func() { // it is long, and others wait for their messages
		ctx, cancel := context.WithTimeout(ctx, 10*c.cfg.Timeout)
		defer cancel()
		value, err := c.line.rdb.Get(ctx, c.keys.of(f.space, "handed", digest)+":"+token).Result()
		if err == nil {
			f.end(Outcome{Value: value, Broken: broken}, true, nil)
		} // else those who wait look again when the lease has ended
	})
}
