package api

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/cache"
	calls "github.com/oskadev/mailroom/internal/call"
)

// cachePreferences are the preferences of a request for cached answers (RFC 9111, section
// 5.2.1).
type cachePreferences struct {
	fresh      bool // no-cache, max-age=0 or Pragma: no-cache: rejects stored answers
	onlyStored bool // only-if-cached: accepts stored answers only
	noStore    bool // no-store: bypasses the cache
	bounded    bool // max-age: rejects answers older than maxAge
	maxAge     time.Duration
}

// cachePreferencesOf parses Cache-Control and Pragma. Most requests have neither.
func cachePreferencesOf(c *fiber.Ctx, in *exchange.Request) cachePreferences {
	var p cachePreferences
	if !in.SentCacheControl() {
		return p
	}
	header := allOf(c, fiber.HeaderCacheControl)
	if header == "" {
		p.fresh = c.Get(fiber.HeaderPragma) == "no-cache"
		return p
	}
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-cache":
			p.fresh = true
		case "no-store":
			p.noStore = true
		case "only-if-cached":
			p.onlyStored = true
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				continue // an invalid directive is ignored
			}
			p.bounded, p.maxAge = true, time.Duration(seconds)*time.Second
			p.fresh = p.fresh || seconds == 0
		}
	}
	if p.onlyStored {
		p.fresh = false
	}
	return p
}

// limitTo ignores the directives that cause a run (RFC 9111, section 5.2.1, allows that) unless
// the caller is allowed one now.
func (p *cachePreferences) limitTo(allowed func() bool) {
	if p.onlyStored || !p.fresh && !p.noStore || allowed() {
		return
	}
	p.fresh, p.noStore = false, false
	p.bounded = p.bounded && p.maxAge > 0
}

// cached returns the preferences for the call.
func (p *cachePreferences) cached() calls.Cached {
	return calls.Cached{Skip: p.noStore && !p.onlyStored, Refresh: p.fresh, Only: p.onlyStored, Bounded: p.bounded, MaxAge: p.maxAge}
}

// allOf returns all lines of a header as one list.
func allOf(c *fiber.Ctx, name string) string {
	lines := c.Request().Header.PeekAll(name)
	if len(lines) <= 1 {
		return c.Get(name)
	}
	return string(bytes.Join(lines, []byte(",")))
}

// controlOf returns the header Cache-Control of a route. A public answer is public to
// proxies too only where no credential is needed.
func (w *responder) controlOf(r *route.Route) string {
	if w.auth == auth.None || w.auth == auth.Optional && len(r.Action.Scopes) == 0 {
		return r.Caching.Control
	}
	return r.Caching.Private
}

// cacheStatus returns the header Cache-Status (https://www.rfc-editor.org/rfc/rfc9211).
func cacheStatus(a *cache.Answer, prefs cachePreferences) []byte {
	dst := append(make([]byte, 0, 64), "mailroom; "...)
	hit := func(detail string) []byte {
		dst = append(dst, "hit; ttl="...)
		left := int64(a.Left / time.Second)
		if a.Left < 0 && left == 0 {
			left = -1
		}
		dst = strconv.AppendInt(dst, left, 10)
		return append(append(dst, "; detail="...), detail...)
	}
	switch a.Source {
	case cache.Local:
		return hit("near")
	case cache.Shared:
		return hit("shared")
	case cache.Revalidating:
		return hit("revalidating")
	case cache.Stale:
		return append(dst, "fwd=stale; detail=error"...)
	case cache.Joined:
		return append(dst, "fwd=miss; collapsed"...)
	case cache.Led:
		switch {
		case prefs.fresh:
			return append(dst, "fwd=request"...)
		case a.Expired:
			return append(dst, "fwd=stale"...)
		}
		return append(dst, "fwd=miss"...)
	default:
		return append(dst, "fwd=bypass"...)
	}
}
