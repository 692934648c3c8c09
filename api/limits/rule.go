package limits

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oskadev/mailroom/api/exchange"
)

// The subjects of a rule: each has a count of its own.
const (
	perPrincipal = "principal" // an authenticated principal; an anonymous client by its address
	perKey       = "key"       // an API key
	perTenant    = "tenant"
	perAddress   = "address" // the address of a client
	perRoute     = "route"   // all callers of a route together
)

// Rule bounds how often requests may come.
type Rule struct {
	// Rate bounds each count.
	Rate Rate
	// Per is the subject that is counted: principal, key, tenant, address or route.
	Per string
	// Route is "METHOD /path/:parameter", as a service declares it. Defaults to all
	// routes: they share one count, or, per route, have one each.
	Route string
}

// String returns the rule as ParseRule reads it.
func (r *Rule) String() string {
	text := r.Rate.String() + " per " + r.Per
	if r.Route != "" {
		text += " on " + r.Route
	}
	if r.Rate.Burst != r.Rate.Count {
		text += " burst " + strconv.Itoa(r.Rate.Burst)
	}
	return text
}

// Check returns the first fault of the rule, or nil.
func (r *Rule) Check() error {
	switch r.Per {
	case perPrincipal, perKey, perTenant, perAddress, perRoute:
	default:
		return fmt.Errorf("limit per %q: want principal, key, tenant, address or route", r.Per)
	}
	return r.Rate.Check()
}

// ParseRule parses "RATE per SUBJECT [on METHOD /path] [burst N]", such as
// "100/s per principal" or "5/m per address on POST /users burst 2".
func ParseRule(text string) (Rule, error) {
	fault := func(why error) (Rule, error) {
		return Rule{}, fmt.Errorf("limit %q: %w", text, why)
	}
	words := strings.Fields(text)
	if len(words) < 3 || words[1] != "per" {
		return fault(errors.New(`want "RATE per SUBJECT", such as "100/s per principal"`))
	}
	r := Rule{Per: words[2]}
	var err error
	if r.Rate, err = parseRate(words[0]); err != nil {
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

// stage returns the stage at which the rule counts.
func (r *Rule) stage() Stage {
	switch {
	case r.Route != "" || r.Per == perRoute:
		return StageRoute
	case r.Per == perAddress:
		return StageAddress
	default:
		return StageCaller
	}
}
