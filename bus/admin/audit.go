package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// auditKept is about how many audit lines are kept.
const auditKept = 10_000

// AuditLine says what an operator did.
type AuditLine struct {
	// At is when, in Redis time.
	At time.Time `json:"at"`
	// Who is the operator: "key:ID" of the console, or "user@host" of a shell.
	Who string `json:"who"`
	// What was done: replay, drop, pause, resume, cancel, resend, invoke or revoke.
	What string `json:"what"`
	// Service is the service that it was done to; empty: none.
	Service string `json:"service,omitempty"`
	// Target is the request or the key that it was done to, or the result; empty: none.
	Target string `json:"target,omitempty"`
}

// Audit records what an operator did (XADD). At is set by Redis.
func Audit(ctx context.Context, c *bus.Conn, line AuditLine) error {
	err := c.Redis().XAdd(ctx, &redis.XAddArgs{
		Stream: c.Keys.Audit(), MaxLen: auditKept, Approx: true,
		Values: []any{"who", line.Who, "what", line.What, "service", line.Service, "target", line.Target},
	}).Err()
	if err != nil {
		return fmt.Errorf("write the audit line of %s: %w", line.What, err)
	}
	return nil
}

// ReadAudit returns the last audit lines, the latest first (XREVRANGE).
func ReadAudit(ctx context.Context, c *bus.Conn, n int64) ([]AuditLine, error) {
	entries, err := c.Redis().XRevRangeN(ctx, c.Keys.Audit(), "+", "-", n).Result()
	if err != nil {
		return nil, fmt.Errorf("read the audit lines: %w", err)
	}
	lines := make([]AuditLine, len(entries))
	for i, e := range entries {
		text := func(name string) string {
			value, _ := e.Values[name].(string)
			return value
		}
		lines[i] = AuditLine{At: time.UnixMilli(wire.EntryTime(e.ID)).UTC(), Who: text("who"), What: text("what"), Service: text("service"), Target: text("target")}
	}
	return lines, nil
}
