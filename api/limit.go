package api

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/keys"
	"github.com/oskadev/mailroom/api/limits"
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

	name string // in headers
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
	switch r.Per {
	case perPrincipal, perKey, perTenant, perAddress, perRoute:
	default:
		return fault(fmt.Errorf("%q is none of principal, key, tenant, address, route", r.Per))
	}
	for rest := words[3:]; len(rest) > 0; {
		switch {
		case rest[0] == "on" && len(rest) > 2 && strings.HasPrefix(rest[2], "/") && r.Route == "":
			r.Route, rest = rest[1]+" "+rest[2], rest[3:]
		case rest[0] == "burst" && len(rest) > 1:
			if r.Rate.Burst, err = strconv.Atoi(rest[1]); err != nil || r.Rate.Burst < 1 {
				return fault(fmt.Errorf("burst %q is not a number above 0", rest[1]))
			}
			rest = rest[2:]
		default:
			return fault(fmt.Errorf(`%q is neither "on METHOD /path" nor "burst N"`, strings.Join(rest, " ")))
		}
	}
	r.name = strings.Join(words, " ")
	return r, nil
}

// Headers that tell how much of a limit is left
// (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
const (
	headerLimit       = "RateLimit"
	headerLimitPolicy = "RateLimit-Policy"
)

// openLimits makes what counts for all gateways, where there are limits.
func (s *Server) openLimits() (closeLimits func(), err error) {
	if len(s.cfg.Limits) == 0 {
		return func() {}, nil
	}
	rdb := s.conn.NewClient() // counting takes no connection from the bus
	s.limiter, err = limits.New(rdb, limits.Config{Namespace: s.conn.Keys.Namespace(), Timeout: s.cfg.LimitTimeout, Logger: s.log})
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return func() {
		s.limiter.Close()
		_ = rdb.Close()
	}, nil
}

// tightest is the limit that leaves a call the least.
type tightest struct {
	rule *LimitRule // nil: none
	left limits.Result
}

// limited counts a call by the rules that it meets, in their order, and refuses it
// by the first that is exhausted. The headers tell of the one with the least left.
// Before it is known who calls, and for what, only the rules count that ask neither:
// so that they bound how often credentials are tried, too.
func (s *Server) limited(c *fiber.Ctx, in *call, r *route) *failure {
	for i := range s.cfg.Limits {
		rule := &s.cfg.Limits[i]
		if (r == nil) != rule.early() {
			continue
		}
		who, counts := s.counted(c, in, r, rule)
		if !counts {
			continue
		}
		left := s.limiter.Take(s.calls, "limit:"+rule.name+":"+who, rule.Rate)
		if in.limit.rule == nil || !left.Allowed || left.Remaining < in.limit.left.Remaining {
			in.limit = tightest{rule, left}
			writeLimit(c.Response(), rule, left)
		}
		if !left.Allowed {
			return &failure{code: codeRateLimited, message: "too many calls: " + rule.name + " is the limit", retryAfter: left.RetryAfter}
		}
	}
	return nil
}

// early reports whether a rule asks neither who calls nor for what.
func (l *LimitRule) early() bool { return l.Per == perAddress && l.Route == "" }

// counted says as whom a rule counts a call, if it does.
func (s *Server) counted(c *fiber.Ctx, in *call, r *route, rule *LimitRule) (who string, counts bool) {
	if rule.Route != "" && rule.Route != r.pattern {
		return "", false
	}
	p := in.principal
	switch {
	case rule.Per == perRoute:
		return r.pattern, true
	case rule.Per == perAddress, rule.Per == perPrincipal && p == nil:
		return neighbour(s.addressOf(c)), true
	case rule.Per == perPrincipal, rule.Per == perKey && keys.IsHolder(p):
		return short(p.Key()), true
	case rule.Per == perTenant && p != nil:
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
	window := rule.Rate.Period * time.Duration(rule.Rate.Burst) / time.Duration(rule.Rate.Count)
	setHeader(res, headerLimitPolicy, name+";q="+strconv.Itoa(rule.Rate.Burst)+";w="+seconds(window))
	setHeader(res, headerLimit, name+";r="+strconv.Itoa(left.Remaining)+";t="+seconds(left.Reset))
}
