package limits

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Stage is a point on the path of a request. Each rule counts at one of them.
type Stage int

// The stages, in the order of the path.
const (
	StageAddress Stage = iota // before authentication: it also bounds how often credentials are tried
	StageCaller               // the principal is known, the route is not
	StageRoute                // the principal and the route are known
)

// Quotas counts requests by rules. The zero value has no rules. Call Close after the last request.
type Quotas struct {
	rules   []Rule
	limiter *limiter // nil: there are no rules
	proxies proxies
	closes  func() // nil: nothing to close
}

// NewQuotas returns the quotas of the rules. It opens a Redis client of its own unless
// there are no rules. Each count in Redis takes at most timeout.
func NewQuotas(conn *bus.Conn, rules []Rule, trusted []netip.Prefix, timeout time.Duration, log *slog.Logger) (Quotas, error) {
	q := Quotas{rules: rules, proxies: trusted}
	if len(rules) == 0 {
		return q, nil
	}
	rdb := conn.NewClient() // limits take no connection from the bus
	var err error
	q.limiter, err = newLimiter(rdb, limiterConfig{Namespace: conn.Keys.Namespace(), Timeout: timeout, Logger: log})
	if err != nil {
		_ = rdb.Close()
		return q, err
	}
	q.closes = func() {
		q.limiter.close()
		_ = rdb.Close()
	}
	return q, nil
}

// Close closes the Redis client.
func (q *Quotas) Close() {
	if q.closes != nil {
		q.closes()
	}
}

// Tightest is the rule that leaves a request the least. The zero value has no rule.
type Tightest struct {
	rule *Rule // nil: none
	left result
}

// Write sets the headers RateLimit and RateLimit-Policy.
func (t *Tightest) Write(res *fasthttp.Response) {
	if t.rule != nil {
		writeLimit(res, t.rule, t.left)
	}
}

// Address returns the address of the client that limits count it by.
func (q *Quotas) Address(c *fiber.Ctx) netip.Addr { return q.proxies.addressOf(c) }

// Count counts a request by the rules of one stage, in their order, and refuses it by
// the first exhausted one: RATE_LIMITED with Retry-After. The caller carries the tightest
// rule from stage to stage. address returns the address of the client. The patterns are those
// of the route, and after the first those of the actions that it may call; none until
// StageRoute.
func (q *Quotas) Count(ctx context.Context, address func() netip.Addr, in *exchange.Request, at Stage, patterns []string, tightest *Tightest) *exchange.Failure {
	for i := range q.rules {
		rule := &q.rules[i]
		if rule.stage() != at {
			continue
		}
		who, counts := counted(address, in, patterns, rule)
		if !counts {
			continue
		}
		left := q.limiter.take(ctx, "limit:"+rule.String()+":"+who, rule.Rate)
		if tightest.rule == nil || !left.Allowed || left.Remaining < tightest.left.Remaining {
			*tightest = Tightest{rule, left}
		}
		if !left.Allowed {
			return exchange.Fail(wire.CodeRateLimited, "too many calls: "+rule.String()+" is the limit").After(left.RetryAfter)
		}
	}
	return nil
}

// counted returns the subject that a rule counts a request for; counts is false where
// the rule does not apply.
func counted(address func() netip.Addr, in *exchange.Request, patterns []string, rule *Rule) (who string, counts bool) {
	if rule.Route != "" && !slices.Contains(patterns, rule.Route) {
		return "", false
	}
	p := in.Principal
	switch {
	case rule.Per == perRoute && rule.Route != "":
		return rule.Route, true
	case rule.Per == perRoute:
		return patterns[0], true
	case rule.Per == perAddress, rule.Per == perPrincipal && p == nil:
		return networkOf(address()), true
	case rule.Per == perPrincipal, rule.Per == perKey && keys.IsHolder(p):
		return short(p.Key()), true
	case rule.Per == perTenant && p != nil && p.Tenant != "":
		return short(p.Tenant), true
	}
	return "", false
}

// short returns a digest of a name, which may be long, for a Redis key.
func short(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// writeLimit sets the headers RateLimit and RateLimit-Policy.
func writeLimit(res *fasthttp.Response, rule *Rule, left result) {
	name := `"` + rule.Per + `"`
	window := float64(rule.Rate.Burst) / float64(rule.Rate.Count) * float64(rule.Rate.Period)
	exchange.SetHeader(res, exchange.HeaderLimitPolicy, name+";q="+strconv.Itoa(rule.Rate.Burst)+";w="+exchange.Seconds(time.Duration(window)))
	exchange.SetHeader(res, exchange.HeaderLimit, name+";r="+strconv.Itoa(left.Remaining)+";t="+exchange.Seconds(left.Reset))
}
