// Package recent keeps the requests that a gateway answered last, for its operators: in
// memory, bounded, and sampled above a rate.
package recent

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/exchange"
)

const (
	size      = 1000 // requests of each kind
	perSecond = 100  // requests that are added, and as many notable ones
	burst     = 200
	maxPath   = 200         // bytes of a path
	slow      = time.Second // a request that took longer is notable
)

// Request is one answered request. It holds no body, no query and no credential.
type Request struct {
	// At is when it was answered.
	At time.Time
	// RequestID is the X-Request-Id, ID the correlation ID.
	RequestID string
	ID        string
	// Method and Path are those of the request; both are empty on a socket.
	Method string
	Path   string
	// Service and Action are empty where no route matched.
	Service string
	Action  string
	// Version is the version of the API, such as v2; empty: none.
	Version string
	// Principal is the subject of the caller; empty: anonymous.
	Principal string
	// Outcome is how it was answered.
	Outcome exchange.Outcome
}

// Ring holds the last requests. It is safe for concurrent use.
type Ring struct{ ordinary, notable part }

// part holds the requests of one kind: those that operators look for first do not make room
// for others.
type part struct {
	limit *rate.Limiter

	mu       sync.Mutex
	requests []Request // the latest at next-1
	next     int
}

// New returns an empty ring.
func New() *Ring {
	return &Ring{part{limit: rate.NewLimiter(perSecond, burst)}, part{limit: rate.NewLimiter(perSecond, burst)}}
}

// Add adds an answered request, if it belongs to the sample: at most 100 a second, and at
// most 100 that failed, were slow or ran again.
func (r *Ring) Add(in *exchange.Request) {
	into, o := &r.ordinary, &in.Outcome
	if o.Status >= 500 || o.Total > slow || o.Attempt > 1 {
		into = &r.notable
	}
	if !into.limit.Allow() {
		return
	}
	one := Request{
		At: in.Began.Add(o.Total), RequestID: in.RequestID, ID: in.ID.String(), Method: in.Method, Path: keys.Redact(cut(in.Path)),
		Service: in.Service, Action: in.Action, Version: in.Version, Outcome: *o,
	}
	if in.Principal != nil {
		one.Principal = in.Principal.Subject
	}
	into.add(one)
}

func (p *part) add(one Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) < size {
		p.requests = append(p.requests, one)
	} else {
		p.requests[p.next] = one
	}
	p.next = (p.next + 1) % size
}

// cut returns a path as valid UTF-8 of at most maxPath bytes. It copies what it cuts.
func cut(path string) string {
	if len(path) > maxPath {
		path = strings.Clone(path[:maxPath]) + "…"
	}
	if !utf8.ValidString(path) {
		path = strings.ToValidUTF8(path, "�")
	}
	return path
}

// Last returns the requests that a filter accepts, the latest first, at most n.
func (r *Ring) Last(n int, accepts func(*Request) bool) []Request {
	found := append(r.ordinary.last(n, accepts), r.notable.last(n, accepts)...)
	slices.SortStableFunc(found, func(a, b Request) int { return b.At.Compare(a.At) })
	return found[:min(n, len(found))]
}

func (p *part) last(n int, accepts func(*Request) bool) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []Request
	for i := 1; i <= len(p.requests) && len(found) < n; i++ {
		one := &p.requests[(p.next-i+size)%size]
		if accepts(one) {
			found = append(found, *one)
		}
	}
	return found
}
