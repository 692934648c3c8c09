package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

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
	s.limiter, err = limits.New(rdb, limits.Config{Namespace: s.conn.Keys.Namespace(), Logger: s.log})
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return func() {
		s.limiter.Close()
		_ = rdb.Close()
	}, nil
}

// limited counts a call by all rules that it meets, in their order, and refuses it
// by the first that is exhausted. The headers tell of the one with the least left.
func (s *Server) limited(c *fiber.Ctx, in *call, r *route) *failure {
	var tightest *LimitRule
	var left limits.Result
	for i := range s.cfg.Limits {
		rule := &s.cfg.Limits[i]
		who, counts := s.counted(c, r, rule)
		if !counts {
			continue
		}
		result := s.limiter.Take(s.calls, "limit:"+rule.name+":"+who, rule.Rate)
		if tightest == nil || !result.Allowed || result.Remaining < left.Remaining {
			tightest, left = rule, result
		}
		if !result.Allowed {
			break
		}
	}
	if tightest == nil {
		return nil
	}
	writeLimit(c.Response(), tightest, left)
	if left.Allowed {
		return nil
	}
	return &failure{code: codeRateLimited, message: "too many calls: " + tightest.name + " is the limit", retryAfter: left.RetryAfter}
}

// counted says as whom a rule counts a call, if it does.
func (s *Server) counted(c *fiber.Ctx, r *route, rule *LimitRule) (who string, counts bool) {
	if rule.Route != "" && rule.Route != r.pattern {
		return "", false
	}
	switch rule.Per {
	case perRoute:
		return r.pattern, true
	case perAddress:
		return neighbour(s.addressOf(c)), true
	default:
		return "", false
	}
}

func writeLimit(res *fasthttp.Response, rule *LimitRule, left limits.Result) {
	name := `"` + rule.Per + `"`
	setHeader(res, headerLimitPolicy, name+";q="+strconv.Itoa(rule.Rate.Burst)+";w="+seconds(rule.Rate.Period*time.Duration(rule.Rate.Burst)/time.Duration(rule.Rate.Count)))
	setHeader(res, headerLimit, name+";r="+strconv.Itoa(left.Remaining)+";t="+seconds(left.Reset))
}
