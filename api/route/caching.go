package route

import (
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// caching is how the answers of a route are shared.
type caching struct {
	Control string // the header Cache-Control of what everybody may get; empty: nothing is stored
	Private string // and of what a caller gets for its credential
}

func newCaching(action *wire.Action) *caching {
	policy, shared := calls.Policy(action)
	if !shared {
		return nil
	}
	return &caching{Control: cacheControl(policy, action.Cache.Public), Private: cacheControl(policy, false)}
}

// cacheControl is what clients may do with an answer
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
