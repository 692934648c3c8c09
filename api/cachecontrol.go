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

// wants is what a caller says of copies (RFC 9111, section 5.2.1).
type wants struct {
	fresh      bool // no-cache, max-age=0, Pragma: no-cache: none
	onlyStored bool // only-if-cached: nothing else
	noStore    bool // keep nothing of it: past the cache
	bounded    bool // no older one than maxAge
	maxAge     time.Duration
}

// wantsOf is what a call says of copies; most say nothing.
func wantsOf(c *fiber.Ctx, in *exchange.Request) wants {
	var w wants
	if !in.SentCacheControl() {
		return w
	}
	header := allOf(c, fiber.HeaderCacheControl)
	if header == "" {
		w.fresh = c.Get(fiber.HeaderPragma) == "no-cache"
		return w
	}
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-cache":
			w.fresh = true
		case "no-store":
			w.noStore = true
		case "only-if-cached":
			w.onlyStored = true
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				continue // what cannot be read counts as not there
			}
			w.bounded, w.maxAge = true, time.Duration(seconds)*time.Second
			w.fresh = w.fresh || seconds == 0
		}
	}
	if w.onlyStored {
		w.fresh = false
	}
	return w
}

// cached is what the caller accepts of cached answers.
func (w *wants) cached() calls.Cached {
	return calls.Cached{Skip: w.noStore && !w.onlyStored, Refresh: w.fresh, Only: w.onlyStored, Bounded: w.bounded, MaxAge: w.maxAge}
}

// allOf is a header that is a list, from all its lines.
func allOf(c *fiber.Ctx, name string) string {
	lines := c.Request().Header.PeekAll(name)
	if len(lines) <= 1 {
		return c.Get(name)
	}
	return string(bytes.Join(lines, []byte(",")))
}

// controlOf is the header Cache-Control of a route's answers. What is for everybody
// is for a shared cache, such as a proxy, only where nobody needs a credential for it.
func (s *Server) controlOf(r *route.Route) string {
	if s.cfg.Auth == auth.None || s.cfg.Auth == auth.Optional && len(r.Action.Scopes) == 0 {
		return r.Caching.Control
	}
	return r.Caching.Private
}

// cacheStatus tells what the cache did (https://www.rfc-editor.org/rfc/rfc9211).
func cacheStatus(a *cache.Answer, w wants) []byte {
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
		case w.fresh:
			return append(dst, "fwd=request"...)
		case a.Expired:
			return append(dst, "fwd=stale"...)
		}
		return append(dst, "fwd=miss"...)
	default:
		return append(dst, "fwd=bypass"...)
	}
}

// namesETag reports whether If-None-Match names an ETag (RFC 9110, section
// 13.1.2): weak comparison, since an answer is the same or it is not.
func namesETag(header, etag string) bool {
	if header == "" {
		return false
	}
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
