// Package recent keeps the requests that a gateway answered last, for its operators: in
// memory, bounded, and sampled above a rate.
package recent

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/oskadev/mailroom/api/exchange"
)

const (
	size      = 1000 // requests in the ring
	perSecond = 100  // requests that are added, and as many notable ones
	burst     = 200
	maxPath   = 200         // bytes of a path
	slow      = time.Second // a request that took longer is notable
	buffer    = 256         // requests that a follower may be behind
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
type Ring struct {
	ordinary, notable *rate.Limiter

	mu        sync.Mutex
	requests  []Request // the latest at next-1
	next      int
	followers map[chan Request]struct{}
}

// New returns an empty ring.
func New() *Ring {
	return &Ring{
		ordinary: rate.NewLimiter(perSecond, burst), notable: rate.NewLimiter(perSecond, burst),
		followers: make(map[chan Request]struct{}),
	}
}

// Add adds an answered request, if it belongs to the sample: at most 100 a second, and at
// most 100 that failed, were slow or ran again.
func (r *Ring) Add(in *exchange.Request) {
	limit, o := r.ordinary, &in.Outcome
	if o.Status >= 500 || o.Total > slow || o.Attempt > 1 {
		limit = r.notable
	}
	if !limit.Allow() {
		return
	}
	one := Request{
		At: in.Began.Add(o.Total), RequestID: in.RequestID, ID: in.ID.String(), Method: in.Method, Path: cut(in.Path),
		Service: in.Service, Action: in.Action, Version: in.Version, Outcome: *o,
	}
	if in.Principal != nil {
		one.Principal = in.Principal.Subject
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) < size {
		r.requests = append(r.requests, one)
	} else {
		r.requests[r.next] = one
	}
	r.next = (r.next + 1) % size
	for follower := range r.followers {
		select {
		case follower <- one:
		default: // it is behind, and misses this one
		}
	}
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
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Request
	for i := 1; i <= len(r.requests) && len(found) < n; i++ {
		one := &r.requests[(r.next-i+size)%size]
		if accepts(one) {
			found = append(found, *one)
		}
	}
	return found
}

// Follow returns a channel of the requests that are added from now on, and a function that
// ends following. A follower that is too slow misses requests.
func (r *Ring) Follow() (requests <-chan Request, stop func()) {
	follower := make(chan Request, buffer)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followers[follower] = struct{}{}
	return follower, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, follower)
	}
}
