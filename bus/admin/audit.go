package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// auditKept is about how many audit lines of a service are kept.
const auditKept = 10_000

// AuditLine says what an operator did.
type AuditLine struct {
	// At is when, in Redis time.
	At time.Time `json:"at"`
	// The operator, Who, is "key:ID" of the console, or "user@host" of a shell.
	Who string `json:"who"`
	// The action, What, is replay, drop, pause, resume, cancel, resend, invoke or revoke.
	What string `json:"what"`
	// Service is the service that it was done to; empty: none.
	Service string `json:"service,omitempty"`
	// Target is the request or the key that it was done to, or the result; empty: none.
	Target string `json:"target,omitempty"`
}

// Audit records what an operator did (XADD). At is set by Redis.
func Audit(ctx context.Context, c *bus.Conn, line AuditLine) error {
	key := c.Keys.Audit()
	if line.Service != "" { // so that a user with the rights of the service can write it
		key = c.Keys.ServiceAudit(line.Service)
	}
	err := c.Redis().XAdd(ctx, &redis.XAddArgs{
		Stream: key, MaxLen: auditKept, Approx: true,
		Values: []any{"who", line.Who, "what", line.What, "service", line.Service, "target", line.Target},
	}).Err()
	if err != nil {
		return fmt.Errorf("write the audit line of %s: %w", line.What, err)
	}
	return nil
}

// ReadAudit returns the last audit lines of all known services, the latest first (SMEMBERS,
// XREVRANGE).
func ReadAudit(ctx context.Context, c *bus.Conn, n int64) ([]AuditLine, error) {
	services, err := c.Redis().SMembers(ctx, c.Keys.Services()).Result()
	if err != nil {
		return nil, fmt.Errorf("read the audit lines: %w", err)
	}
	pipe := c.Redis().Pipeline()
	replies := []*redis.XMessageSliceCmd{pipe.XRevRangeN(ctx, c.Keys.Audit(), "+", "-", n)}
	for _, service := range append(services, wire.ReservedService) {
		replies = append(replies, pipe.XRevRangeN(ctx, c.Keys.ServiceAudit(service), "+", "-", n))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the audit lines: %w", err)
	}
	var lines []AuditLine
	for _, reply := range replies {
		for _, e := range reply.Val() {
			text := func(name string) string {
				value, _ := e.Values[name].(string)
				return value
			}
			lines = append(lines, AuditLine{At: time.UnixMilli(wire.EntryTime(e.ID)).UTC(), Who: text("who"), What: text("what"), Service: text("service"), Target: text("target")})
		}
	}
	slices.SortStableFunc(lines, func(a, b AuditLine) int { return b.At.Compare(a.At) })
	return lines[:min(n, int64(len(lines)))], nil
}
