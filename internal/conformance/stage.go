package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/process"
	"github.com/oskadev/mailroom/internal/conformance/proxy"
	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/internal/conformance/worker"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/token"
)

const (
	namespace = "conformance-test"
	thief     = suites.Service + ".suite" // a worker of the suite
	password  = "secret"
	pollEvery = 5 * time.Millisecond
	// startLimit is the time in which a worker has to be registered.
	startLimit = 15 * time.Second
)

// stage is what one check runs on.
type stage struct {
	cfg    *Config
	check  *suites.Check
	server *process.Server
	proxy  *proxy.Proxy
	trace  *trace.Trace
	admin  *resp.Client
	sub    *resp.Client
	keys   wire.Keys

	channel    string
	workers    []worker.Worker
	registered []string // members of the list of workers, in the order of their starts
	requests   map[string]*request
	release    func() // ends Take.Hold, after which stolen is set; nil: there is none
	stolen     error
	timeslices map[string]string // of the threads of the worker, when the check noted them

	mu      sync.Mutex
	replies map[string][]received // by the ID of the request
}

// received is one reply line.
type received struct {
	meta     wire.ReplyMeta
	envelope string
	line     string
	at       time.Time
}

func newStage(cfg *Config, check *suites.Check) (s *stage, err error) {
	s = &stage{cfg: cfg, check: check, trace: trace.New(), requests: make(map[string]*request), replies: make(map[string][]received)}
	if s.keys, err = wire.NewKeys(namespace); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.server, err = process.StartServer(); err != nil {
		return nil, err
	}
	if s.proxy, err = proxy.Start(s.server.Address, s.trace); err != nil {
		return nil, err
	}
	if s.admin, err = resp.Dial(s.server.Address); err != nil {
		return nil, err
	}
	if s.sub, err = resp.Dial(s.server.Address); err != nil {
		return nil, err
	}
	s.channel = s.keys.Replies(wire.RoleAPI+"."+token.New(token.NameBytes), suites.Service)
	if err = s.sub.Subscribe(s.channel, s.receive); err != nil {
		return nil, err
	}
	if err = s.loadFunctions(); err != nil {
		return nil, err
	}
	if check.User {
		err = s.makeUser()
	}
	return s, err
}

// loadFunctions loads the functions that a worker calls, as a gateway or an administrator does.
func (s *stage) loadFunctions() error {
	for _, library := range trace.Libraries() {
		if v, err := s.admin.Do("FUNCTION", "LOAD", library); err != nil && !strings.Contains(v.Text, "already exists") {
			return err
		}
	}
	return nil
}

// close ends everything that the stage started.
func (s *stage) close() {
	if s.release != nil {
		s.release()
	}
	for _, w := range s.workers {
		w.Stop()
	}
	for _, c := range []*resp.Client{s.admin, s.sub} {
		if c != nil {
			c.Close()
		}
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.server != nil {
		s.server.Stop()
	}
}

// receive takes a message of the reply channel.
func (s *stage) receive(message string) {
	at := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(message) {
		line = strings.TrimSuffix(line, "\n")
		id, reply, err := wire.ParseReplyLine(line)
		r := received{envelope: reply.Envelope, line: line, at: at}
		if err == nil {
			r.meta, err = wire.ParseReplyMeta(reply.Meta)
		}
		if err != nil {
			id = ""
		}
		s.replies[id] = append(s.replies[id], r)
	}
}

// repliesTo returns the replies to a request. The empty ID has those that cannot be read.
func (s *stage) repliesTo(id string) []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.replies[id])
}

// makeUser makes a user of Redis with the rights of a worker.
func (s *stage) makeUser() error {
	user, err := admin.WorkerUser(suites.Service, s.keys, admin.WorkerAccess{Services: []string{suites.Service}})
	if err != nil {
		return err
	}
	user.Passwords = []string{password}
	rules := splitRules(user.Line())
	_, err = s.admin.Do(append([]string{"ACL", "SETUSER", suites.Service}, rules[2:]...)...)
	return err
}

// splitRules splits a line of an ACL file. A selector in parentheses is one rule.
func splitRules(line string) []string {
	return regexp.MustCompile(`\([^)]*\)|\S+`).FindAllString(line, -1)
}

// start starts a worker and waits until it is registered.
func (s *stage) start(ctx context.Context) error {
	user := ""
	if s.check.User {
		user = suites.Service + ":" + password + "@"
	}
	w, err := worker.Start(&worker.Config{ //nolint:contextcheck // the stage ends it
		Command: s.cfg.Command, Transport: s.cfg.Transport, Redis: s.proxy.Address(), User: user,
		Namespace: s.keys.Namespace(), IdleLimit: s.cfg.IdleLimit, Trace: s.trace,
	})
	if err != nil {
		return err
	}
	s.workers = append(s.workers, w)
	err = s.until(ctx, startLimit, func() error { return s.seeRegistered(w) })
	if f, ok := errors.AsType[*failure](err); ok {
		f.seen += "; it printed: " + oneLine(w.Printed())
	}
	return err
}

// seeRegistered notes the member of a new worker.
func (s *stage) seeRegistered(w worker.Worker) error {
	const expected = "a new worker in the list of workers"
	select {
	case <-w.Gone():
		if err := s.seeOtherService(expected); err != nil {
			return &permanent{err}
		}
		return &permanent{failed(expected, "the worker ended with the exit code %d", w.ExitCode())}
	default:
	}
	found, err := s.admin.Do("ZRANGE", s.keys.Workers(suites.Service), "0", "-1")
	if err != nil {
		return err
	}
	for _, member := range found.Words() {
		if !slices.Contains(s.registered, member) {
			s.registered = append(s.registered, member)
			return nil
		}
	}
	err = s.seeOtherService(expected)
	switch {
	case err == nil:
		err = failed(expected+" "+s.keys.Workers(suites.Service), "%d members", len(found.Items))
	case s.cfg.Transport != suites.Native: // it serves one service
		err = &permanent{err}
	}
	return err
}

// seeOtherService fails if the worker serves another service in place of the one that the
// checks need.
func (s *stage) seeOtherService(expected string) error {
	var others []string
	for _, f := range s.trace.AllFrames() {
		var m struct{ Service string }
		if w := f.Parse(); w != nil && w.Kind() == frames.KindServe && json.Unmarshal(w.Serve, &m) == nil {
			others = append(others, m.Service)
		}
	}
	if known, err := s.admin.Do("SMEMBERS", s.keys.Services()); err == nil {
		others = append(others, known.Words()...)
	}
	slices.Sort(others)
	if others = slices.Compact(others); len(others) == 0 || slices.Contains(others, suites.Service) {
		return nil
	}
	return failed(expected, "the worker serves %s, the checks need the service `%s`", strings.Join(others, ", "), suites.Service)
}

// worker returns the last worker that was started.
func (s *stage) worker() worker.Worker { return s.workers[len(s.workers)-1] }

// workerID returns the identifier of the last worker that was registered.
func (s *stage) workerID() string {
	if len(s.registered) == 0 {
		return ""
	}
	id, _, _ := strings.Cut(s.registered[len(s.registered)-1], " ")
	return id
}

// permanent is an error that waiting does not change.
type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }

// Unwrap returns the error.
func (p *permanent) Unwrap() error { return p.err }

// until calls a function until it returns nil or the limit is over.
func (s *stage) until(ctx context.Context, limit time.Duration, f func() error) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		err := f()
		if p, ok := errors.AsType[*permanent](err); ok {
			return p.err
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-timer.C:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// now returns the time of Redis in ms.
func (s *stage) now() (int64, error) {
	v, err := s.admin.Do("TIME")
	if err != nil {
		return 0, err
	}
	words := v.Words()
	seconds, _ := strconv.ParseInt(words[0], 10, 64)
	micros, _ := strconv.ParseInt(words[1], 10, 64)
	return seconds*1000 + micros/1000, nil
}

// expand replaces ${…} in a text.
func (s *stage) expand(text string) string {
	return os.Expand(text, func(name string) string {
		kind, of, _ := strings.Cut(name, ":")
		r := s.requests[of]
		if r == nil {
			r = &request{}
		}
		switch kind {
		case "mailbox":
			return s.keys.Requests(suites.Service)
		case "dead":
			return s.keys.Dead(suites.Service)
		case "workers":
			return s.keys.Workers(suites.Service)
		case "worker":
			return s.workerID()
		case "manifest":
			_, digest, _ := strings.Cut(s.registered[len(s.registered)-1], " ")
			return s.keys.Manifest(suites.Service, digest)
		case "channel":
			return s.channel
		case "ns":
			return namespace
		case "record":
			return s.keys.Record(suites.Service, r.id)
		case "entry":
			return r.entry
		case "id":
			return r.id
		case "now", "in-an-hour":
			now, _ := s.now() // 0 fits nothing
			if kind == "in-an-hour" {
				now += time.Hour.Milliseconds()
			}
			return strconv.FormatInt(now, 10)
		case "tag":
			return s.keys.Tagged(suites.Service, "tag:"+of)
		default:
			return "${" + name + "}"
		}
	})
}

// same reports whether a value equals JSON.
func same(got any, want json.RawMessage) bool {
	text, err := json.Marshal(got)
	return err == nil && canonical(text) == canonical(want)
}

// canonical returns JSON with sorted keys and without spaces. Numbers stay as written.
func canonical(text []byte) string {
	var v any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return fmt.Sprintf("not JSON: %s", text)
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(sorted)
}
