package registry

import (
	"context"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// readers are the connections of a registry. A service that writes long values loses its
// reader its connection, and no others theirs.
type readers struct {
	conn   *bus.Conn
	limits resp.Limits
	all    []*reader
}

// reader is one connection, for one goroutine.
type reader struct {
	*readers

	pipeline *resp.Pipeline
}

func newReaders(r *Registry) *readers {
	return &readers{conn: r.conn, limits: resp.Limits{String: r.limits.bytes, Answer: r.limits.answer}}
}

// take returns n readers.
func (r *readers) take(n int) []*reader {
	for len(r.all) < n {
		r.all = append(r.all, &reader{r, r.conn.NewBoundedPipeline(r.limits)})
	}
	return r.all[:n]
}

func (r *readers) close() {
	for _, one := range r.all {
		one.pipeline.Close()
	}
}

// exchange sends commands on keys of one slot and returns their answers. It honours the
// deadline of the context.
func (r *reader) exchange(ctx context.Context, key string, commands ...[]string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := r.pipeline.Conn(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, words := range commands {
		c.Out.Add(words...)
	}
	r.pipeline.Exchange(ctx, within(ctx, r.conn.Timeout()))
	return c.Answers()
}

// count returns the number of workers of each service, also of those that expired. One that
// cannot be read counts as 0.
func (r *reader) count(ctx context.Context, names []string) ([]int64, error) {
	conns, places := make([]*resp.Conn, len(names)), make([]int, len(names))
	for i, name := range names {
		key := r.conn.Keys.Workers(name)
		c, err := r.pipeline.Conn(ctx, key)
		if err != nil {
			return nil, err
		}
		conns[i], places[i] = c, c.Out.Len()
		c.Out.Add("zcount", key, "-inf", "+inf")
	}
	r.pipeline.Exchange(ctx, within(ctx, r.conn.Timeout()))
	counts := make([]int64, len(names))
	for i, c := range conns {
		answers, err := c.Answers()
		if err != nil {
			return nil, err
		}
		counts[i], err = resp.Number(answers[places[i]])
		if rediserr.IsRefused(err) {
			return nil, r.conn.Explain(err, "zcount", r.conn.Keys.Workers(names[i]))
		}
	}
	return counts, nil
}
