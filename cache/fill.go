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

// handedLife is how long what is too long to publish lies ready.
const handedLife = 10 * time.Second

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
	switch {
	case !l.absent:
		c.replace(l, o, life)
	case life == 0:
		c.release(l, o)
	default:
		c.store(l, o, life)
	}
}

// replace stores an outcome in the place of another one, which only who holds the
// lease may do: by the script.
func (c *Cache) replace(l *look, o Outcome, life time.Duration) {
	var left time.Time
	c.line.batches.Add(&command{
		script: &c.line.fill, keys: c.keys.look(l.query, l.digest),
		args:   []any{l.token, l.nonces, life.Milliseconds(), o.Value, l.head(o), longMessage, l.mode},
		leaves: func() { left = time.Now() },
		done: func(answer any, err error) {
			if stored, _ := answer.(int64); err == nil && stored == 1 {
				c.keepNear(l, o, left)
			}
		},
	})
}

// store stores an outcome where there is none, by plain commands. Whoever was first
// has stored what is as good, or newer; those who wait for this lease get this one
// in any case.
//
// The nonces are not compared with those of now, as the script does: a copy whose
// nonces have been replaced nobody finds, and the near copy is as old as the look.
func (c *Cache) store(l *look, o Outcome, life time.Duration) {
	ms := life.Milliseconds()
	fill := &command{plain: make([][]any, 0, 2)}
	stored := fill.add("set", c.keys.of(l.query.Space, "cached", l.digest), l.nonces+" "+strconv.FormatInt(ms, 10)+" "+o.Value, "nx", "px", ms)
	lease := fill.add("getdel", c.keys.lease(l.query.Space, l.digest, l.nonces))
	fill.done = func(any, error) {
		if fill.answers[stored].Err() == nil {
			c.keepNear(l, o, l.at)
		}
		c.handOver(l, o, fill, lease)
	}
	c.line.batches.Add(fill)
}

// keepNear keeps a near copy of what was stored, as old as that is.
func (c *Cache) keepNear(l *look, o Outcome, since time.Time) {
	c.cfg.at(StepFilled, l.query.Identity)
	c.stored.Add(1)
	policy := &l.query.Policy
	c.near.put(l.query, copied{value: o.Value, left: policy.TTL, life: policy.life(), at: since})
}

// release gives the lease back, and hands the outcome to those who wait for it.
func (c *Cache) release(l *look, o Outcome) {
	free := &command{}
	lease := free.add("getdel", c.keys.lease(l.query.Space, l.digest, l.nonces))
	free.done = func(any, error) { c.handOver(l, o, free, lease) }
	c.line.batches.Add(free)
}

// handOver tells the outcome to the processes that a lease names, as a command got it. The lease may be
// that of another leader, who took this one for dead: what it waits for is as good.
func (c *Cache) handOver(l *look, o Outcome, from *command, lease int) {
	held, err := from.text(lease)
	if err != nil {
		return // those who wait look again when the lease has ended
	}
	_, waiting, _ := strings.Cut(held, " ")
	if waiting == "" {
		return
	}
	message, tell := l.head(o)+o.Value, &command{done: func(any, error) {}}
	if len(o.Value) > longMessage {
		message = l.head(o)
		tell.add("set", c.keys.of(l.query.Space, "handed", l.digest)+":"+l.token, o.Value, "px", handedLife.Milliseconds())
	}
	for channel := range strings.FieldsSeq(waiting) {
		tell.add("publish", channel, message)
	}
	c.line.batches.Add(tell)
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
