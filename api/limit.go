package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/keys"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Whom a limit counts.
const (
	perPrincipal = "principal" // a caller, as it proved to be; who did not, by address
	perKey       = "key"       // an API key
	perTenant    = "tenant"
	perAddress   = "address" // where a call comes from
	perRoute     = "route"   // all callers of a route together
)

// LimitRule says how often calls may come.
type LimitRule struct {
	// Rate is how often, and Per whom it counts: principal, key, tenant, address or
	// route.
	Rate limits.Rate
	Per  string
	// Route is "METHOD /path/:parameter", as a service declares it; empty: all calls
	// count together, or, per route, those of each route.
	Route string
}

// String is the rule as ParseLimit reads it.
func (l *LimitRule) String() string {
	text := l.Rate.String() + " per " + l.Per
	if l.Route != "" {
		text += " on " + l.Route
	}
	if l.Rate.Burst != l.Rate.Count {
		text += " burst " + strconv.Itoa(l.Rate.Burst)
	}
	return text
}

func (l *LimitRule) check() error {
	switch l.Per {
	case perPrincipal, perKey, perTenant, perAddress, perRoute:
	default:
		return fmt.Errorf("limit per %q: it is none of principal, key, tenant, address, route", l.Per)
	}
	return l.Rate.Check()
}

// ParseLimit reads "RATE per WHOM [on METHOD /path] [burst N]", such as
// "100/s per principal" or "5/m per address on POST /users burst 2".
func ParseLimit(text string) (LimitRule, error) {
	fault := func(why error) (LimitRule, error) {
		return LimitRule{}, fmt.Errorf("limit %q: %w", text, why)
	}
	words := strings.Fields(text)
	if len(words) < 3 || words[1] != "per" {
		return fault(errors.New(`want "RATE per WHOM", such as "100/s per principal"`))
	}
	r := LimitRule{Per: words[2]}
	var err error
	if r.Rate, err = limits.ParseRate(words[0]); err != nil {
		return fault(err)
	}
	for rest := words[3:]; len(rest) > 0; {
		switch {
		case rest[0] == "on" && len(rest) > 2 && r.Route == "":
			if r.Route, err = parseRoute(rest[1], rest[2]); err != nil {
				return fault(err)
			}
			rest = rest[3:]
		case rest[0] == "burst" && len(rest) > 1:
			if r.Rate.Burst, err = strconv.Atoi(rest[1]); err != nil {
				return fault(fmt.Errorf("burst %q is not a number", rest[1]))
			}
			rest = rest[2:]
		default:
			return fault(fmt.Errorf(`%q is neither "on METHOD /path" nor "burst N"`, strings.Join(rest, " ")))
		}
	}
	if err := r.check(); err != nil {
		return fault(err)
	}
	return r, nil
}

// quotas counts calls by rules. The zero value has no rules.
type quotas struct {
	rules   []LimitRule
	limiter *limits.Limiter // nil: there are no rules
	proxies proxies
	close   func()
}

// newQuotas opens what counts for all gateways, where there are rules.
func newQuotas(conn *bus.Conn, rules []LimitRule, trusted proxies, timeout time.Duration, log *slog.Logger) (quotas, error) {
	q := quotas{rules: rules, proxies: trusted, close: func() {}}
	if len(rules) == 0 {
		return q, nil
	}
	rdb := conn.NewClient() // counting takes no connection from the bus
	var err error
	q.limiter, err = limits.New(rdb, limits.Config{Namespace: conn.Keys.Namespace(), Timeout: timeout, Logger: log})
	if err != nil {
		_ = rdb.Close()
		return q, err
	}
	q.close = func() {
		q.limiter.Close()
		_ = rdb.Close()
	}
	return q, nil
}

// tightest is the limit that leaves a call the least.
type tightest struct {
	rule *LimitRule // nil: none
	left limits.Result
}

// count counts a call by the rules of one stage, in their order, and refuses it by
// the first that is exhausted. The headers tell of the rule with the least left,
// which most remembers between the stages of one call. The pattern is that of the
// route, once it is known.
func (q *quotas) count(ctx context.Context, c *fiber.Ctx, in *call, at stage, pattern string, most *tightest) *failure {
	for i := range q.rules {
		rule := &q.rules[i]
		if rule.stage() != at {
			continue
		}
		who, counts := q.counted(c, in, pattern, rule)
		if !counts {
			continue
		}
		left := q.limiter.Take(ctx, "limit:"+rule.String()+":"+who, rule.Rate)
		if most.rule == nil || !left.Allowed || left.Remaining < most.left.Remaining {
			*most = tightest{rule, left}
			writeLimit(c.Response(), rule, left)
		}
		if !left.Allowed {
			return fail(wire.CodeRateLimited, "too many calls: "+rule.String()+" is the limit").after(left.RetryAfter)
		}
	}
	return nil
}

// stage is when on a call's way a rule counts it.
type stage int

const (
	StageAddress stage = iota // by address: it bounds how often credentials are tried, too
	StageCaller               // who calls is known: whatever it calls counts
	StageRoute                // and so is what for
)

func (l *LimitRule) stage() stage {
	switch {
	case l.Route != "" || l.Per == perRoute:
		return StageRoute
	case l.Per == perAddress:
		return StageAddress
	default:
		return StageCaller
	}
}

// counted says as whom a rule counts a call, if it does.
func (q *quotas) counted(c *fiber.Ctx, in *call, pattern string, rule *LimitRule) (who string, counts bool) {
	if rule.Route != "" && rule.Route != pattern {
		return "", false
	}
	p := in.principal
	switch {
	case rule.Per == perRoute:
		return pattern, true
	case rule.Per == perAddress, rule.Per == perPrincipal && p == nil:
		return neighbour(q.proxies.addressOf(c)), true
	case rule.Per == perPrincipal, rule.Per == perKey && keys.IsHolder(p):
		return short(p.Key()), true
	case rule.Per == perTenant && p != nil && p.Tenant != "":
		return short(p.Tenant), true
	}
	return "", false
}

// short is a name of any length as part of a key.
func short(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func writeLimit(res *fasthttp.Response, rule *LimitRule, left limits.Result) {
	name := `"` + rule.Per + `"`
	window := float64(rule.Rate.Burst) / float64(rule.Rate.Count) * float64(rule.Rate.Period)
	setHeader(res, HeaderLimitPolicy, name+";q="+strconv.Itoa(rule.Rate.Burst)+";w="+seconds(time.Duration(window)))
	setHeader(res, HeaderLimit, name+";r="+strconv.Itoa(left.Remaining)+";t="+seconds(left.Reset))
}
