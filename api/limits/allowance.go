package limits

import (
	"fmt"
	"time"
)

// Allowance bounds how often each caller may do something, at this gateway alone.
type Allowance struct {
	rate  Rate
	local *local // nil: never
}

// maxCallers bounds the callers that an Allowance remembers; about 200 bytes each.
const maxCallers = 100_000

// NewAllowance returns an allowance. A negative count allows nothing. Close it.
func NewAllowance(rate Rate) (*Allowance, error) {
	a := &Allowance{rate: rate}
	if rate.Count < 0 {
		return a, nil
	}
	var err error
	if a.local, err = newLocal(maxCallers); err != nil {
		return nil, fmt.Errorf("allowance: %w", err)
	}
	return a, nil
}

// Close frees the counts.
func (a *Allowance) Close() {
	if a.local != nil {
		a.local.close()
	}
}

// Take counts one of a caller, if its rate allows it.
func (a *Allowance) Take(caller string) bool {
	return a.local != nil && a.local.take(caller, a.rate, time.Now()).Allowed
}

// ParseRate parses a rate such as 10/s, 5/m or 3/10s.
func ParseRate(text string) (Rate, error) { return parseRate(text) }
