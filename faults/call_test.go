package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The results of a call for its caller.
const (
	answered = "answered" // the outcome of a run
	dead     = "dead"     // the request became a dead letter
	refused  = "refused"  // the request was not accepted
	unknown  = "unknown"  // 504, or the connection was lost
	wrong    = "wrong"    // anything else, which is an error
)

// call is one call of a service, from the view of its caller.
type call struct {
	n        int
	safe     bool
	began    time.Time
	ended    time.Time
	fate     string
	status   int
	id       string // the request id of the gateway
	location string
	run      string // the run whose result it got
	said     string
}

// number returns the number of the next call.
func (s *stage) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next
}

// call makes one call. Like a load balancer, it skips a gateway that accepts no
// connection.
func (s *stage) call(gateway int, safe bool, w work) *call {
	return s.callAs(s.number(), gateway, safe, w)
}

func (s *stage) callAs(n, gateway int, safe bool, w work) *call {
	c := &call{n: n, safe: safe, began: time.Now()}
	var res *http.Response
	var err error
	for range 50 * len(s.listen) {
		at := gateway % len(s.listen)
		gateway++
		if res, err = s.client.Do(s.request(c, at, w)); !isDial(err) { //nolint:bodyclose // c.read closes it
			break
		}
		s.pass(20 * time.Millisecond)
	}
	c.read(res, err)
	c.ended = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	return c
}

func (s *stage) request(c *call, gateway int, w work) *http.Request {
	base := "http://" + s.listen[gateway] + "/things/"
	method, url, body := http.MethodPost, fmt.Sprintf("%srun/%d", base, c.n), []byte(nil)
	if c.safe {
		method, url = http.MethodGet, fmt.Sprintf("%sread/%d?ms=%d&pad=%d&do=%s", base, c.n, w.MS, w.Pad, w.Do)
	} else {
		body, _ = json.Marshal(w) // cannot fail: numbers and strings
	}
	req, _ := http.NewRequestWithContext(s.t.Context(), method, url, bytes.NewReader(body)) // cannot fail
	// Without GetBody, the HTTP client does not repeat the request.
	req.Body, req.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	req.Header.Set("Content-Type", "application/json")
	return req
}

// isDial reports that no connection was opened: nothing was sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// read evaluates the answer.
func (c *call) read(res *http.Response, err error) {
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	switch {
	case isDial(err):
		c.fate, c.said = refused, err.Error()
		return
	case err != nil:
		c.fate, c.said = unknown, err.Error()
		return
	}
	c.status, c.id, c.location, c.said = res.StatusCode, res.Header.Get("X-Request-Id"), res.Header.Get("Location"), string(body)
	c.fate = wrong
	var envelope struct {
		OK     bool `json:"ok"`
		Result done `json:"result"`
		Error  struct {
			Message string `json:"message"`
			Details struct {
				State string `json:"state"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return
	}
	switch {
	case envelope.OK && envelope.Result.N == strconv.Itoa(c.n):
		c.fate, c.run, c.said = answered, envelope.Result.Run, ""
	case c.status == http.StatusInternalServerError && envelope.Error.Details.State == "dead":
		c.fate = dead
	case c.status == http.StatusGatewayTimeout, strings.Contains(envelope.Error.Message, "is stopping"):
		c.fate = unknown
	case c.status == http.StatusServiceUnavailable:
		c.fate = refused
	}
}

// load starts callers, half of them with unsafe calls. The returned function stops them
// and waits for their last answers.
func (s *stage) load(callers int, what func(*rand.Rand) work) (stop func()) {
	return s.loadBy(callers, what, nil)
}

// loadBy is like load, with safe or unsafe calls only; nil: both.
func (s *stage) loadBy(callers int, what func(*rand.Rand) work, safe func() bool) (stop func()) {
	stopped := make(chan struct{})
	var asking sync.WaitGroup
	for range callers {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), s.rng.Uint64()))
		asking.Go(func() {
			for {
				select {
				case <-stopped:
					return
				case <-s.t.Context().Done():
					return
				default:
				}
				kind := rng.IntN(2) == 0
				if safe != nil {
					kind = safe()
				}
				if c := s.call(rng.IntN(len(s.listen)), kind, what(rng)); c.fate != answered {
					s.pass(50 * time.Millisecond)
				}
			}
		})
	}
	end := sync.OnceFunc(func() {
		close(stopped)
		asking.Wait()
	})
	s.t.Cleanup(end)
	return end
}

// usual returns work that is mostly short.
func usual(rng *rand.Rand) work { return work{MS: 5 + rng.IntN(30)} }

// succeeded returns the number of calls answered so far.
func (s *stage) succeeded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c.fate == answered {
			n++
		}
	}
	return n
}

// works waits until n more calls have been answered.
func (s *stage) works(more int) {
	s.t.Helper()
	before := s.succeeded()
	s.eventually(fmt.Sprintf("%d more calls are answered", more), func() bool { return s.succeeded() >= before+more })
}
