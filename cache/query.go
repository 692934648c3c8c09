package cache

import (
	"fmt"
	"strconv"
	"time"

	"github.com/oskadev/mailroom/internal/template"
)

// Query is one query.
type Query struct {
	// Space groups queries, such as those of one service. The entries and tags of a
	// space are in one slot of a cluster. A tag is valid only within its space.
	Space string
	// Identity holds everything that the answer depends on; see the function Identity.
	Identity string
	// Tags name the data that the answer is made of; see Invalidator.
	Tags []string
	// Policy sets for how long an answer is used.
	Policy Policy
	// Refresh runs the query even if an entry exists, and replaces the entry.
	Refresh bool
	// OnlyStored wants an entry, and otherwise ErrNotStored.
	OnlyStored bool
	// Inline lets Do run the query on its caller's goroutine. Do then returns when the
	// run ends, even if the context ends earlier. This saves a goroutine if the run
	// limits its own time. Defaults to false.
	Inline bool
}

// Policy sets for how long an answer is used.
type Policy struct {
	// TTL is the time for which an entry is fresh. With 0 nothing is stored, and
	// identical queries only share a run.
	TTL time.Duration
	// StaleWhileRevalidate is the time after the TTL for which an entry is still
	// returned while a new one is made (RFC 5861).
	StaleWhileRevalidate time.Duration
	// StaleIfError is the time after the TTL for which an entry is returned if the
	// run fails (RFC 5861).
	StaleIfError time.Duration
}

// stale returns the time for which an entry is kept after its TTL.
func (p Policy) stale() time.Duration { return max(p.StaleWhileRevalidate, p.StaleIfError) }

// life returns the time for which an entry is kept in total.
func (p Policy) life() time.Duration {
	if p.TTL <= 0 {
		return 0
	}
	return p.TTL + p.stale()
}

// nonceLife returns the time for which a new nonce of a tag is kept. It is longer
// than the life of several entries, because entries become useless with their nonce.
func (p Policy) nonceLife() time.Duration { return 4*p.life() + time.Minute }

// Identity joins parts, each after its length, so that different lists of parts
// give different identities.
func Identity(parts ...string) string {
	size := 0
	for _, p := range parts {
		size += len(p) + 4
	}
	return string(appendIdentity(make([]byte, 0, size), parts...))
}

func appendIdentity(dst []byte, parts ...string) []byte {
	for _, p := range parts {
		dst = strconv.AppendInt(dst, int64(len(p)), 10)
		dst = append(dst, ':')
		dst = append(dst, p...)
	}
	return dst
}

// Tag fills arguments, a JSON array, into the template of a tag: {0} becomes the
// first argument. A string is used as it is, any other value as compact JSON. Bytes
// other than letters, digits and "-_.~" are percent-encoded. A missing argument is
// an error.
func Tag(tag, args string) (string, error) {
	filled, err := template.Fill(tag, args)
	if err != nil {
		return "", fmt.Errorf("tag %w", err)
	}
	return filled, nil
}

// CheckTag reports what is wrong with a tag, or with a template for this number of
// arguments.
func CheckTag(tag string, arguments int) error {
	if err := template.Check(tag, arguments); err != nil {
		return fmt.Errorf("tag %w", err)
	}
	return nil
}
