package cache

import (
	"context"
	"time"
)

// keep notes a run whose lease is to be kept until letGo, so that nobody else runs
// the question meanwhile.
func (c *Cache) keep(l *look) {
	c.mu.Lock()
	l.began = time.Now()
	c.leads[l] = struct{}{}
	c.mu.Unlock()
}

func (c *Cache) letGo(l *look) {
	c.mu.Lock()
	delete(c.leads, l)
	c.mu.Unlock()
}

// keepLeases extends the leases of all runs that take long, three times in the life of
// one, until the context ends. One that could not be extended may still be there the
// next time.
func (c *Cache) keepLeases(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if c.line.away() {
			continue
		}
		now := time.Now()
		c.mu.Lock()
		for l := range c.leads {
			if !c.closed && !l.extending && now.Sub(l.began) >= c.cfg.Lease/6 { // most runs are shorter
				l.extending = true
				c.line.batches.Add(c.extending(l))
			}
		}
		c.mu.Unlock()
	}
}

func (c *Cache) extending(l *look) *command {
	lease := c.keys.lease(l.query.Space, l.digest, l.nonces)
	if l.mode == modeFresh {
		lease += ":fresh"
	}
	return &command{
		script: &c.line.extend, keys: []string{lease},
		args: []any{l.token, c.cfg.Lease.Milliseconds()},
		done: func(any, error) {
			c.mu.Lock()
			l.extending = false
			c.mu.Unlock()
		},
	}
}
