package call

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// Policy returns how the answers of an action are shared; false: they are not.
func Policy(action *wire.Action) (cache.Policy, bool) {
	declared := action.Cache
	if declared == nil || !action.Safe || action.Lane != "" {
		return cache.Policy{}, false
	}
	millis := func(n int64) time.Duration { return time.Duration(max(n, 0)) * time.Millisecond }
	return cache.Policy{
		TTL: millis(declared.TTLMillis), StaleWhileRevalidate: millis(declared.StaleWhileRevalidateMillis), StaleIfError: millis(declared.StaleIfErrorMillis),
	}, true
}

// identity returns the key of everything that an answer depends on. An answer that is not
// public depends on the principal and its scopes, which a handler can read.
func identity(action *wire.Action, principal *wire.Principal, args string) string {
	if action.Cache.Public {
		return cache.Identity("public", action.Name, args)
	}
	if principal == nil {
		return cache.Identity("of", "", action.Name, args)
	}
	parts := append([]string{"of", principal.Key(), strconv.Itoa(len(principal.Scopes))}, principal.Scopes...)
	return cache.Identity(append(parts, action.Name, args)...)
}

// withinLanes adds the held lanes to an identity: whether a call is a cycle depends on
// them, so it must not share with calls that hold others.
func withinLanes(lanes []string, identity string) string {
	if len(lanes) == 0 {
		return identity
	}
	return cache.Identity(append(slices.Clone(lanes), identity)...)
}

// tags returns the cache tags of an answer. A template with a missing argument is a tag as
// it is.
func tags(action *wire.Action, args string) []string {
	var tags []string
	for _, template := range action.Cache.Tags {
		tag, err := cache.Tag(template, args)
		if err != nil {
			tag = template
		}
		tags = append(tags, tag)
	}
	return tags
}

// shared is a cache entry: an answer with its ETag and status.
type shared struct {
	etag     string
	status   int
	meta     string // as in a reply line
	envelope string
}

func newShared(status int, meta, envelope string) *shared {
	sum := sha256.Sum256([]byte(envelope))
	return &shared{etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, status: status, meta: meta, envelope: envelope}
}

// failed returns the shared answer for a call without an answer of its service.
func failed(e *wire.Error) *shared {
	meta := wire.ReplyMeta{RetryAfter: e.RetryAfter}
	return newShared(e.Status, string(meta.Append(nil)), string(wire.Failure(e)))
}

// outcome encodes the answer for the cache.
func (s *shared) outcome() cache.Outcome {
	return cache.Outcome{
		Value:  s.etag + " " + strconv.Itoa(s.status) + " " + s.meta + " " + s.envelope,
		Store:  s.status < http.StatusMultipleChoices,
		Broken: s.status >= http.StatusInternalServerError,
	}
}

var errNotShared = errors.New("not a shared answer")

// parseShared decodes an answer from the cache.
func parseShared(value string) (*shared, error) {
	etag, rest, _ := strings.Cut(value, " ")
	code, rest, _ := strings.Cut(rest, " ")
	meta, envelope, found := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	// Its service, and whoever may write to the cache, could have stored anything.
	if err != nil || !found || !wire.IsAnswerStatus(status) || !wire.IsETag(etag) || envelope == "" || strings.ContainsAny(meta, "\r\n") {
		return nil, errNotShared
	}
	return &shared{etag: etag, status: status, meta: meta, envelope: envelope}, nil
}
