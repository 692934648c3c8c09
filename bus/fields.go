package bus

import (
	"context"
	"sync/atomic"

	"github.com/oskadev/mailroom/internal/resp"
)

// maxFieldReaders is the number of Fields calls at once; each has a connection of its own.
const maxFieldReaders = 8

// fieldReaders are the connections of Fields. They throw away long strings while they arrive,
// which the client library does not.
type fieldReaders struct {
	free   chan *resp.Pipeline // each is nil until it is used
	closed atomic.Bool
}

func newFieldReaders() *fieldReaders {
	r := &fieldReaders{free: make(chan *resp.Pipeline, maxFieldReaders)}
	for range maxFieldReaders {
		r.free <- nil
	}
	return r
}

// Fields returns fields of a hash (HMGET). A field that is missing, or longer than limit, is
// empty. All calls on a connection have the same limit.
func (c *Conn) Fields(ctx context.Context, key string, limit int, fields ...string) ([]string, error) {
	var p *resp.Pipeline
	select {
	case p = <-c.fields.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p == nil {
		p = c.NewBoundedPipeline(resp.Limits{String: limit})
	}
	defer c.fields.put(p)
	k, err := p.Conn(ctx, key)
	if err != nil {
		return nil, err
	}
	k.Out.Add(append([]string{"hmget", key}, fields...)...)
	p.Exchange(ctx, c.timeout)
	answers, err := k.Answers()
	if err != nil {
		return nil, err
	}
	values, err := resp.Words(answers[0])
	return values, c.Explain(err, "hmget", key)
}

// put gives a connection back.
func (r *fieldReaders) put(p *resp.Pipeline) {
	r.free <- p
	if r.closed.Load() {
		r.close()
	}
}

// close closes the connections that are not in use, and later those that are.
func (r *fieldReaders) close() {
	r.closed.Store(true)
	for range maxFieldReaders {
		select {
		case p := <-r.free:
			if p != nil {
				p.Close()
			}
			r.free <- nil
		default:
			return
		}
	}
}
