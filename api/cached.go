package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/ask"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// caching is how the answers of a route are shared.
type caching struct {
	policy  cache.Policy
	public  bool
	control string // the header Cache-Control of what everybody may get; empty: nothing is stored
	private string // and of what a caller gets for its credential
}

func newCaching(action *wire.Action) *caching {
	policy, shared := ask.Policy(action)
	if !shared {
		return nil
	}
	r := &caching{policy: policy, public: action.Cache.Public}
	r.control, r.private = cacheControl(r, r.public), cacheControl(r, false)
	return r
}

// cached answers a call of a route whose answers are shared.
func (s *Server) cached(c *fiber.Ctx, in *call, r *route, args string, wants wants) *failure {
	q := cache.Query{Space: r.service, Identity: ask.Identity(r.action, in.principal, args), Policy: r.caching.policy, Refresh: wants.fresh, OnlyStored: wants.onlyStored, Inline: true}
	answer, found := cache.Answer{}, false
	if !wants.fresh {
		answer, found = s.cache.Local(q.Space, q.Identity)
	}
	if !found || wants.older(&answer) {
		q.Tags = ask.Tags(r.action, args)
		var f *failure
		if answer, f = s.askOnce(in, r, args, &q, wants); f != nil {
			setHeader(c.Response(), headerCacheStatus, "mailroom; detail="+f.unanswered)
			return f
		}
	}
	s.writeCached(c, in, r, &answer, wants)
	return nil
}

// askOnce asks the cache, and with it all gateways.
func (s *Server) askOnce(in *call, r *route, args string, q *cache.Query, wants wants) (cache.Answer, *failure) {
	asked := *in // who asks may be gone when it runs
	run := func(ctx context.Context) cache.Outcome { return s.outcome(ctx, &asked, r, args) }
	// The run keeps its own time. This is for one that was begun anew, elsewhere.
	ctx, cancel := context.WithTimeout(s.calls, r.action.Timeout()+2*time.Second)
	defer cancel()
	answer, err := s.cache.Do(ctx, q, run)
	if err == nil && !q.Refresh && wants.older(&answer) {
		q.Refresh = true
		answer, err = s.cache.Do(ctx, q, run)
	}
	if err == nil {
		return answer, nil
	}
	return answer, s.explainCache(in, r, err)
}

// explainCache turns an error of the cache into the gateway's answer.
func (s *Server) explainCache(in *call, r *route, err error) *failure {
	var f *failure
	switch {
	case errors.Is(err, cache.ErrNotStored):
		f = fail(codeTimeout, "there is no stored answer, and only-if-cached was asked for")
		f.unanswered = "not-stored"
	case errors.Is(err, cache.ErrCrowded):
		f = &failure{code: codeOverloaded, message: "too many callers wait for this answer", retryAfter: time.Second, unanswered: "crowded"}
	case errors.Is(err, cache.ErrClosed), errors.Is(err, context.Canceled):
		f = s.explain(in, r, caller.ErrClosed)
		f.unanswered = "stopping"
	case errors.Is(err, context.DeadlineExceeded):
		f = s.explain(in, r, caller.ErrTimeout)
		f.unanswered = "timeout"
	default:
		f = s.explain(in, r, err)
		f.unanswered = "error"
	}
	return f
}

// outcome runs a call for all who ask the same.
func (s *Server) outcome(ctx context.Context, in *call, r *route, args string) cache.Outcome {
	question := caller.NewCall(r.action, r.service, args)
	question.ID, question.Meta, question.Principal = in.id, in.meta(), in.principal
	reply, f := s.askService(ctx, in, r, &question)
	if f == nil {
		meta, _ := wire.ParseReplyMeta(reply.Meta) // what cannot be read is left out
		status := statusFor(reply.Envelope, meta.Status)
		if status != 0 {
			return ask.Shared{Status: status, Meta: reply.Meta, Envelope: reply.Envelope}.Outcome()
		}
		f = s.noEnvelope(in, r)
	}
	status := statusOf(f.code)
	e := wire.Error{
		Code: f.code, Message: f.message, Status: status, Details: f.details,
		Service: r.service, Action: r.action.Name,
	}
	meta := ""
	if f.retryAfter > 0 {
		meta = retryName + seconds(f.retryAfter)
	}
	return ask.Shared{Status: status, Meta: meta, Envelope: string(wire.Failure(e))}.Outcome()
}

// retryName is what tells Retry-After in the place of a reply's meta.
const retryName = "retry="

// writeCached writes a shared answer.
func (s *Server) writeCached(c *fiber.Ctx, in *call, r *route, answer *cache.Answer, wants wants) {
	said, err := ask.ParseShared(answer.Value)
	etag, status, meta, envelope := said.ETag, said.Status, said.Meta, said.Envelope
	if err != nil {
		s.refuse(c, in, r, s.noEnvelope(in, r))
		return
	}
	if err := s.fits(in, r, envelope); err != nil {
		s.refuse(c, in, r, s.explain(in, r, err))
		return
	}
	res := c.Response()
	stored := answer.Source == cache.Local || answer.Source == cache.Shared || answer.Source == cache.Revalidating || answer.Source == cache.Stale
	res.Header.SetCanonical([]byte(headerCacheStatus), cacheStatus(answer, wants))
	if status >= http.StatusMultipleChoices {
		writeEnvelope(res, status, stamped(envelope, in, r), in.requestID)
		if after, found := strings.CutPrefix(meta, retryName); found {
			res.Header.Set(fiber.HeaderRetryAfter, after)
		}
	} else {
		setHeader(res, "Etag", etag)
		if s.cfg.Auth != AuthNone { // another login is another caller, also to its browser
			res.Header.Add(fiber.HeaderVary, fiber.HeaderAuthorization+", X-API-Key")
		}
		if control := s.controlOf(r); control != "" {
			setHeader(res, fiber.HeaderCacheControl, control)
			res.Header.SetCanonical([]byte("Age"), strconv.AppendInt(make([]byte, 0, 8), int64(answer.Age/time.Second), 10))
		}
		if in.sent&sentIfNoneMatch != 0 && namesETag(allOf(c, fiber.HeaderIfNoneMatch), etag) {
			res.SetStatusCode(http.StatusNotModified)
			res.Header.Set(headerRequestID, in.requestID)
			return
		}
		writeEnvelope(res, status, envelope, in.requestID)
	}
	if !stored || strings.Contains(meta, "location=") {
		said, _ := wire.ParseReplyMeta(meta) // what cannot be read is left out
		if stored {
			said = wire.ReplyMeta{Location: said.Location} // the rest is of another request
		}
		s.writeMeta(res, in, said, !stored)
	}
}

// stamped says in a shared error which request it answers.
func stamped(envelope string, in *call, r *route) string {
	var read struct {
		Error struct {
			wire.Error
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(envelope), &read) != nil {
		return envelope
	}
	e := read.Error.Error
	if read.Error.Details != nil {
		e.Details = read.Error.Details
	}
	if e.Service == "" {
		e.Service, e.Action = r.service, r.action.Name
	}
	ran := e.CorrelationID
	if ran == "" {
		ran = e.RequestID // the run's own, unless its caller gave it one
	}
	if ran == "" {
		ran = in.id.String()
	}
	e.RequestID, e.CorrelationID = in.requestID, ""
	if ran != in.requestID {
		e.CorrelationID = ran
	}
	return string(wire.Failure(e))
}
