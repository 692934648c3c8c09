package limits

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

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/exchange"
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
type Rule struct {
	// Rate is how often, and Per whom it counts: principal, key, tenant, address or
	// route.
	Rate Rate
	Per  string
	// Route is "METHOD /path/:parameter", as a service declares it; empty: all calls
	// count together, or, per route, those of each route.
	Route string
}

// String is the rule as ParseLimit reads it.
func (l *Rule) String() string {
	text := l.Rate.String() + " per " + l.Per
	if l.Route != "" {
		text += " on " + l.Route
	}
	if l.Rate.Burst != l.Rate.Count {
		text += " burst " + strconv.Itoa(l.Rate.Burst)
	}
	return text
}

func (l *Rule) Check() error {
	switch l.Per {
	case perPrincipal, perKey, perTenant, perAddress, perRoute:
	default:
		return fmt.Errorf("limit per %q: it is none of principal, key, tenant, address, route", l.Per)
	}
	return l.Rate.Check()
}

// ParseLimit reads "RATE per WHOM [on METHOD /path] [burst N]", such as
// "100/s per principal" or "5/m per address on POST /users burst 2".
func ParseRule(text string) (Rule, error) {
	fault := func(why error) (Rule, error) {
		return Rule{}, fmt.Errorf("limit %q: %w", text, why)
	}
	words := strings.Fields(text)
	if len(words) < 3 || words[1] != "per" {
		return fault(errors.New(`want "RATE per WHOM", such as "100/s per principal"`))
	}
	r := Rule{Per: words[2]}
	var err error
	if r.Rate, err = ParseRate(words[0]); err != nil {
		return fault(err)
	}
	for rest := words[3:]; len(rest) > 0; {
		switch {
		case rest[0] == "on" && len(rest) > 2 && r.Route == "":
			if r.Route, err = exchange.ParseRoute(rest[1], rest[2]); err != nil {
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
	if err := r.Check(); err != nil {
		return fault(err)
	}
	return r, nil
}

// quotas counts calls by rules. The zero value has no rules.
type Quotas struct {
	rules   []Rule
	limiter *Limiter // nil: there are no rules
	proxies exchange.Proxies
	Close   func()
}

// newQuotas opens what counts for all gateways, where there are rules.
func NewQuotas(conn *bus.Conn, rules []Rule, trusted exchange.Proxies, timeout time.Duration, log *slog.Logger) (Quotas, error) {
	q := Quotas{rules: rules, proxies: trusted, Close: func() {}}
	if len(rules) == 0 {
		return q, nil
	}
	rdb := conn.NewClient() // counting takes no connection from the bus
	var err error
	q.limiter, err = New(rdb, Config{Namespace: conn.Keys.Namespace(), Timeout: timeout, Logger: log})
	if err != nil {
		_ = rdb.Close()
		return q, err
	}
	q.Close = func() {
		q.limiter.Close()
		_ = rdb.Close()
	}
	return q, nil
}

// tightest is the limit that leaves a call the least.
type Tightest struct {
	rule *Rule // nil: none
	left Result
}

// count counts a call by the rules of one stage, in their order, and refuses it by
// the first that is exhausted. The headers tell of the rule with the least left,
// which most remembers between the stages of one call. The pattern is that of the
// route, once it is known.
func (q *Quotas) Count(ctx context.Context, c *fiber.Ctx, in *exchange.Request, at stage, pattern string, most *Tightest) *exchange.Failure {
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
			*most = Tightest{rule, left}
			writeLimit(c.Response(), rule, left)
		}
		if !left.Allowed {
			return exchange.Fail(wire.CodeRateLimited, "too many calls: "+rule.String()+" is the limit").After(left.RetryAfter)
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

func (l *Rule) stage() stage {
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
func (q *Quotas) counted(c *fiber.Ctx, in *exchange.Request, pattern string, rule *Rule) (who string, counts bool) {
	if rule.Route != "" && rule.Route != pattern {
		return "", false
	}
	p := in.Principal
	switch {
	case rule.Per == perRoute:
		return pattern, true
	case rule.Per == perAddress, rule.Per == perPrincipal && p == nil:
		return exchange.Neighbour(q.proxies.AddressOf(c)), true
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

func writeLimit(res *fasthttp.Response, rule *Rule, left Result) {
	name := `"` + rule.Per + `"`
	window := float64(rule.Rate.Burst) / float64(rule.Rate.Count) * float64(rule.Rate.Period)
	exchange.SetHeader(res, exchange.HeaderLimitPolicy, name+";q="+strconv.Itoa(rule.Rate.Burst)+";w="+exchange.Seconds(time.Duration(window)))
	exchange.SetHeader(res, exchange.HeaderLimit, name+";r="+strconv.Itoa(left.Remaining)+";t="+exchange.Seconds(left.Reset))
}
