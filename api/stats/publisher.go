package stats

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
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
	ready   func() bool
	refused bool
}

// NewPublisher returns a publisher for the gateway with an identifier. It stores nothing
// until the gateway is ready.
func NewPublisher(conn *bus.Conn, id string, metrics prometheus.Gatherer, ready func() bool) *Publisher {
	host, _ := os.Hostname() // empty where the system does not say
	p := &Publisher{conn: conn, id: id, host: host, started: time.Now().UTC(), sampler: newSampler(metrics), ready: ready}
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

// publish samples the metrics and stores the snapshot.
func (p *Publisher) publish(ctx context.Context) {
	if err := p.sampler.sample(); err != nil {
		p.conn.Log().WarnContext(ctx, "the metrics cannot be read for the statistics", "error", err)
	}
	one := p.snapshot()
	p.last.Store(one)
	if !p.ready() {
		return
	}
	text, err := json.Marshal(one)
	if err != nil {
		p.conn.Log().ErrorContext(ctx, "the statistics cannot be encoded", "error", err)
		return
	}
	switch err := admin.StoreGateway(ctx, p.conn, p.id, text, expiry); {
	case rediserr.IsForbidden(err) && !p.refused:
		p.refused = true
		p.conn.Log().WarnContext(ctx, "other gateways do not see the statistics of this one: Redis refuses them; mailroom acl api prints the rights", "error", err)
	case err != nil:
		p.conn.Log().DebugContext(ctx, "the statistics were not stored", "error", err)
	}
}

// remove removes the snapshot of a gateway that stops.
func (p *Publisher) remove(ctx context.Context) {
	if err := admin.RemoveGateway(ctx, p.conn, p.id); err != nil {
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
	texts, err := admin.ReadGateways(ctx, conn)
	if err != nil {
		return nil, err
	}
	var all []*Snapshot
	for id, text := range texts {
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
