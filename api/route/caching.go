package route

import (
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// Caching holds the header Cache-Control of a route with shared answers.
type Caching struct {
	Control string // for answers that everybody may get; empty: answers are not stored
	Private string // for answers that need a credential
}

// newCaching returns the caching of an action; nil: its answers are not shared.
func newCaching(action *wire.Action) *Caching {
	policy, shared := calls.Policy(action)
	if !shared {
		return nil
	}
	return &Caching{Control: cacheControl(policy, action.Cache.Public), Private: cacheControl(policy, false)}
}

// cacheControl returns the header Cache-Control
// (https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2, RFC 5861).
func cacheControl(policy cache.Policy, public bool) string {
	if policy.TTL == 0 {
		return ""
	}
	parts := []string{"private"}
	if public {
		parts[0] = "public"
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"max-age", policy.TTL},
		{"stale-while-revalidate", policy.StaleWhileRevalidate},
		{"stale-if-error", policy.StaleIfError},
	} {
		if d.value > 0 {
			parts = append(parts, d.name+"="+strconv.FormatInt(int64(d.value/time.Second), 10))
		}
	}
	return strings.Join(parts, ", ")
}
