package ask

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

// Policy says how the answers of an action are shared; false: they are not.
func Policy(action *wire.Action) (cache.Policy, bool) {
	said := action.Cache
	if said == nil || !action.Safe || action.Lane != "" {
		return cache.Policy{}, false
	}
	millis := func(n int64) time.Duration { return time.Duration(max(n, 0)) * time.Millisecond }
	return cache.Policy{
		TTL: millis(said.TTLMillis), StaleWhileRevalidate: millis(said.StaleWhileRevalidateMillis), StaleIfError: millis(said.StaleIfErrorMillis),
	}, true
}

// Identity is everything that makes the answer to a question another one. Whatever
// is not public belongs to who asks.
func Identity(action *wire.Action, principal *wire.Principal, args string) string {
	if action.Cache.Public {
		return cache.Identity("public", action.Name, args)
	}
	if principal == nil {
		return cache.Identity("of", "", action.Name, args)
	}
	// A handler sees the scopes too: what a caller was told who had more of them is
	// not for the same caller with fewer.
	parts := append([]string{"of", principal.Key(), strconv.Itoa(len(principal.Scopes))}, principal.Scopes...)
	return cache.Identity(append(parts, action.Name, args)...)
}

// within is an identity for those who hold lanes: they wait for nobody who does not,
// and nobody else waits for them, since whether there is a circle is another question
// for each.
func within(lanes []string, identity string) string {
	if len(lanes) == 0 {
		return identity
	}
	return cache.Identity(append(slices.Clone(lanes), identity)...)
}

// Tags name what the answer is made of.
func Tags(action *wire.Action, args string) []string {
	var tags []string
	for _, template := range action.Cache.Tags {
		tag, err := cache.Tag(template, args)
		if err != nil { // it was left out, and the tag is that of no argument
			tag = template
		}
		tags = append(tags, tag)
	}
	return tags
}

// Shared is an answer as the cache holds it.
type Shared struct {
	ETag     string
	Status   int
	Meta     string
	Envelope string
}

// Outcome is the answer for the cache.
func (s Shared) Outcome() cache.Outcome {
	if s.Meta == "" {
		s.Meta = "-"
	}
	sum := sha256.Sum256([]byte(s.Envelope))
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return cache.Outcome{
		Value:  etag + " " + strconv.Itoa(s.Status) + " " + s.Meta + " " + s.Envelope,
		Store:  s.Status < http.StatusMultipleChoices,
		Broken: s.Status >= http.StatusInternalServerError,
	}
}

var errNotShared = errors.New("not a shared answer")

// ParseShared reads what the cache held.
func ParseShared(value string) (Shared, error) {
	etag, rest, _ := strings.Cut(value, " ")
	code, rest, _ := strings.Cut(rest, " ")
	meta, envelope, found := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !found {
		return Shared{}, errNotShared
	}
	return Shared{ETag: etag, Status: status, Meta: meta, Envelope: envelope}, nil
}
