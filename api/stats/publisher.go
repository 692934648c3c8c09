package stats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// expiry is how long a snapshot counts after it was stored.
const expiry = 4 * Interval

// Publisher samples the metrics of a gateway and stores its snapshots.
type Publisher struct {
	conn    *bus.Conn
	id      string
	host    string
	started time.Time
	sampler *sampler
	last    atomic.Pointer[Snapshot]
	refused bool
}

// NewPublisher returns a publisher for the gateway with an identifier.
func NewPublisher(conn *bus.Conn, id string, metrics prometheus.Gatherer) *Publisher {
	host, _ := os.Hostname() // empty where the system does not say
	p := &Publisher{conn: conn, id: id, host: host, started: time.Now().UTC(), sampler: newSampler(metrics)}
	p.last.Store(p.snapshot())
	return p
}

func (p *Publisher) snapshot() *Snapshot {
	one := p.sampler.snapshot(p.conn.Clock.Now().UTC())
	one.Gateway, one.Host, one.Started = p.id, p.host, p.started
	return one
}

// Run samples and stores until the context ends. Then it removes the snapshot.
func (p *Publisher) Run(ctx context.Context) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		p.publish(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.remove(context.WithoutCancel(ctx))
			return
		}
	}
}

// publish samples the metrics and stores the snapshot (SET, ZADD).
func (p *Publisher) publish(ctx context.Context) {
	if err := p.sampler.sample(); err != nil {
		p.conn.Log().WarnContext(ctx, "the metrics cannot be read for the statistics", "error", err)
	}
	one := p.snapshot()
	p.last.Store(one)
	text, err := json.Marshal(one)
	if err != nil {
		p.conn.Log().ErrorContext(ctx, "the statistics cannot be encoded", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.conn.Timeout())
	defer cancel()
	now := p.conn.Clock.Millis()
	pipe := p.conn.Redis().Pipeline()
	pipe.Set(ctx, p.conn.Keys.Gateway(p.id), text, expiry)
	pipe.ZAdd(ctx, p.conn.Keys.Gateways(), redis.Z{Score: float64(now + expiry.Milliseconds()), Member: p.id})
	pipe.ZRemRangeByScore(ctx, p.conn.Keys.Gateways(), "-inf", strconv.FormatInt(now-expiry.Milliseconds(), 10))
	commands, err := pipe.Exec(ctx)
	switch refusal := rediserr.FirstRefused(commands...); {
	case refusal != nil && !p.refused:
		p.refused = true
		p.conn.Log().WarnContext(ctx, "other gateways do not see the statistics of this one: Redis refuses them; mailroom acl api prints the rights", "error", refusal)
	case err != nil:
		p.conn.Log().DebugContext(ctx, "the statistics were not stored", "error", err)
	}
}

// remove removes the snapshot of a gateway that stops.
func (p *Publisher) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.conn.Timeout())
	defer cancel()
	pipe := p.conn.Redis().Pipeline()
	pipe.Del(ctx, p.conn.Keys.Gateway(p.id))
	pipe.ZRem(ctx, p.conn.Keys.Gateways(), p.id)
	if _, err := pipe.Exec(ctx); err != nil {
		p.conn.Log().DebugContext(ctx, "the statistics were not removed", "error", err)
	}
}

// All returns the last snapshots of all gateways. Where Redis does not answer, it returns
// that of this gateway and the error.
func (p *Publisher) All(ctx context.Context) ([]*Snapshot, error) {
	own := p.last.Load()
	all, err := Read(ctx, p.conn)
	all = slices.DeleteFunc(all, func(one *Snapshot) bool { return one.Gateway == own.Gateway })
	return append(all, own), err
}

// Read reads the last snapshots of all gateways, sorted by host and identifier.
func Read(ctx context.Context, conn *bus.Conn) ([]*Snapshot, error) {
	ids, err := conn.Redis().ZRangeByScore(ctx, conn.Keys.Gateways(), &redis.ZRangeBy{Min: strconv.FormatInt(conn.Clock.Millis(), 10), Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("read the gateways: %w", err)
	}
	var all []*Snapshot
	for _, id := range ids {
		text, err := conn.Redis().Get(ctx, conn.Keys.Gateway(id)).Bytes()
		if errors.Is(err, redis.Nil) { // it has stopped
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the statistics of gateway %s: %w", id, err)
		}
		var one Snapshot
		if err := json.Unmarshal(text, &one); err != nil || one.Gateway != id {
			conn.Log().WarnContext(ctx, "the statistics of a gateway cannot be read", "gateway", id, "error", err)
			continue
		}
		all = append(all, &one)
	}
	slices.SortFunc(all, func(a, b *Snapshot) int { return strings.Compare(a.Host+" "+a.Gateway, b.Host+" "+b.Gateway) })
	return all, nil
}
