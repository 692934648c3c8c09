package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/batch"
)

// writeBatch is how many requests one pipeline carries at most. A script call
// holds Redis for all its requests; larger batches gain nothing measurable.
const writeBatch = 256

// writers is how many batches are under way at once.
const writers = 2

// outgoing is one request on its way out.
type outgoing struct {
	service string
	id      uuid.UUID
	request *Request
	again   bool // it was sent before, and what became of that is not known
}

// writer sends the requests of all callers of a process: few pipelines at a
// time, which hold what came while the ones before were under way.
type writer struct {
	conn    *Conn
	waiters *waiters
	doubt   func()      // Redis did not answer a batch
	certain func() bool // waits a moment for Redis to be out of doubt
	admits  *admission
	batches *batch.Batcher[outgoing]
}

func newWriter(conn *Conn, w *waiters, r *replies, admits *admission, readyWait time.Duration) *writer {
	wr := &writer{
		conn: conn, waiters: w, doubt: r.doubt, certain: func() bool { return r.awaitCertain(readyWait) }, admits: admits,
	}
	wr.batches = batch.New(writeBatch, wr.flush)
	return wr
}

func (w *writer) run(ctx context.Context) { w.batches.Run(ctx) }

func (w *writer) add(o outgoing) { w.batches.Add(o) }

// mail is what one batch brings to one service.
type mail struct {
	service string
	waiting int64 // in the mailbox, before
	safe    []outgoing
	adds    []*writeCmd
	unsafe  []outgoing
	call    *writeCmd
	after   *redis.IntCmd // in the mailbox, at the end
}

// length is how long the mailbox will be with what the mail holds by now.
func (m *mail) length() int64 { return m.waiting + int64(len(m.safe)) }

// flushTimeout is how long Redis may take to answer a batch. Beyond that what
// became of the batch is not known, and nothing more is sent until Redis shows
// a sign of life.
const flushTimeout = time.Second

// flush writes a batch as one pipeline: an XADD for each safe request, a call
// of enqueue.lua for the unsafe ones of a service, and the mailbox's length.
func (w *writer) flush(items []outgoing) {
	if !w.certain() {
		for _, o := range items {
			w.refuse(o, &NotSentError{Cause: errDoubted})
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(w.conn.timeout, flushTimeout))
	defer cancel()
	mails := w.sort(ctx, items)
	pipe := w.conn.rdb.Pipeline()
	for _, m := range mails {
		w.write(ctx, pipe, m)
	}
	if pipe.Len() == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil {
		if !isServerError(err) {
			w.doubt()
		}
		w.sendScriptsWhole(ctx, mails)
	}
	for _, m := range mails {
		w.confirm(m)
	}
}

var errDoubted = errors.New("Redis has not answered what was sent before")

// sort puts the requests of each service together, and refuses the safe ones
// that their mailbox does not take. Of the others the script decides: what is
// known by its ID is not added.
func (w *writer) sort(ctx context.Context, items []outgoing) []*mail {
	var mails []*mail
	byService := make(map[string]*mail, 1)
	for _, o := range items {
		w.conn.hook.at(StepEnqueue, o.request.ID)
		m := byService[o.service]
		if m == nil {
			m = &mail{service: o.service, waiting: w.admits.length(o.service)}
			byService[o.service] = m
			mails = append(mails, m)
		}
		if !o.request.Safe() {
			m.unsafe = append(m.unsafe, o)
			continue
		}
		limit := w.admits.limitOf(o.service, o.request)
		if m.length() >= limit {
			m.waiting = w.admits.lengthNow(ctx, o.service)
		}
		if waiting := m.length(); waiting >= limit {
			w.refuse(o, w.admits.overloaded(o.service, waiting, limit))
			continue
		}
		m.safe = append(m.safe, o)
	}
	return mails
}

func (w *writer) write(ctx context.Context, pipe redis.Pipeliner, m *mail) {
	key := w.conn.Keys.Requests(m.service)
	mailbox := any(key)
	for _, o := range m.safe {
		add := newWriteCmd(ctx, xadd(mailbox, o.request)...)
		m.adds = append(m.adds, add)
		_ = pipe.Process(ctx, add) // a pipeline only collects
	}
	switch {
	case len(m.unsafe) > 0: // the script tells the length
		m.call = w.enqueueCall(ctx, key, m, false)
		_ = pipe.Process(ctx, m.call)
	case len(m.safe) > 0:
		m.after = pipe.XLen(ctx, key)
	}
}

// xadd is the command that adds a safe request. Its values go as pointers,
// which the client library follows: each string in an interface would be one
// more allocation.
func xadd(mailbox any, r *Request) []any {
	deadline := millis(r.Deadline)
	return []any{
		"xadd", mailbox, "*", "v", ProtocolVersion, "id", &r.ID, "action", &r.Action, "args", &r.Args,
		"reply", &r.Reply, "deadline", &deadline, "meta", &r.Meta,
	}
}

func (w *writer) enqueueCall(ctx context.Context, mailbox string, m *mail, whole bool) *writeCmd {
	keys := make([]string, 0, 1+len(m.unsafe))
	args := make([]any, 0, 2+11*len(m.unsafe))
	keys, args = append(keys, mailbox), append(args, w.admits.lane, w.admits.limit)
	for _, o := range m.unsafe {
		r := o.request
		keys = append(keys, w.conn.Keys.Record(m.service, r.ID))
		args = append(args, r.ID, r.Action, r.Args, r.Reply, millis(r.Deadline), r.Meta, millis(r.Store), r.Lane,
			r.fingerprint(), r.principal, w.admits.limitOf(m.service, r))
	}
	return w.conn.scripts.enqueue.command(ctx, whole, keys, args)
}

// sendScriptsWhole repeats the calls of a script that the server did not have.
// It changed nothing then, so that repeating is safe.
func (w *writer) sendScriptsWhole(ctx context.Context, mails []*mail) {
	for _, m := range mails {
		if m.call != nil && isNoScript(m.call.Err()) {
			m.call = w.enqueueCall(ctx, w.conn.Keys.Requests(m.service), m, true)
			_ = w.conn.rdb.Process(ctx, m.call) // its error is read in confirm
		}
	}
}

// confirm tells the waiters of a mail what became of their requests.
func (w *writer) confirm(m *mail) {
	for i, o := range m.safe {
		entry, err := m.adds[i].Text()
		w.confirmOne(o, entry, err)
	}
	if m.after != nil && m.after.Err() == nil {
		w.admits.setLength(m.service, m.after.Val())
	}
	if m.call == nil {
		return
	}
	answers, err := m.call.Slice()
	if err == nil && len(answers) != 2*len(m.unsafe)+1 {
		err = fmt.Errorf("enqueue.lua gave %d values for %d requests", len(answers), len(m.unsafe))
	}
	if err != nil {
		for _, o := range m.unsafe {
			w.confirmOne(o, "", err)
		}
		return
	}
	length, _ := answers[len(answers)-1].(int64)
	w.admits.setLength(m.service, length)
	for i, o := range m.unsafe {
		state, _ := answers[2*i].(string)
		value := text(answers[2*i+1])
		w.confirmUnsafe(o, state, value, length)
	}
}

// confirmOne handles the answer to one request. Was it never sent, its caller
// may know at once; is that in doubt, the caller keeps waiting, and the sweep
// finds out.
func (w *writer) confirmOne(o outgoing, entry string, err error) {
	switch {
	case err == nil:
		w.conn.hook.at(StepEnqueued, o.request.ID)
		w.waiters.written(o.id, o.request, entry)
	case neverSent(err), isServerError(err):
		w.refuse(o, &NotSentError{Cause: err})
	default:
		w.waiters.written(o.id, o.request, "")
	}
}

// refuse tells a caller that its request was not accepted. One that was sent
// before may have been accepted then: its caller goes on waiting.
func (w *writer) refuse(o outgoing, err error) {
	if o.again {
		w.waiters.written(o.id, o.request, "")
		return
	}
	w.waiters.end(o.id, o.request, result{err: err})
}

// text reads a value of a script's answer.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func (w *writer) confirmUnsafe(o outgoing, state, value string, length int64) {
	var r result
	switch state {
	case StateQueued:
		w.confirmOne(o, value, nil)
		return
	case StateDone:
		r.reply, r.err = parseOutcome(value)
		r.reply.Replayed = !o.again
	case StateDead:
		r.err = ErrDead
	case "reused":
		r.err = ErrKeyReused
	case "lane":
		waiting, _ := strconv.ParseInt(value, 10, 64)
		w.refuse(o, &OverloadedError{Service: o.service, Lane: o.request.Lane, Waiting: waiting, RetryAfter: minRetryAfter})
		return
	case "full":
		w.refuse(o, w.admits.overloaded(o.service, length, w.admits.limitOf(o.service, o.request)))
		return
	default:
		r.err = fmt.Errorf("enqueue.lua gave the unknown state %q", state)
	}
	w.waiters.end(o.id, o.request, r)
}
