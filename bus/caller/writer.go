package caller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/batch"
	"github.com/oskadev/mailroom/internal/lazyctx"
	"github.com/oskadev/mailroom/internal/lograte"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/resp"
)

// writeBatch is the most requests in one pipeline. A script call blocks Redis for all
// its requests; larger batches gain nothing measurable.
const writeBatch = 256

// writers is the number of batches in flight at once.
const writers = 2

// outgoing is one request that waits for its batch.
type outgoing struct {
	service string
	id      uuid.UUID
	request *wire.Request
	again   bool      // it was sent before, with an unknown result
	until   time.Time // of further tries while Redis fails over; zero: it was not tried
}

// writer sends the requests of all callers of a process in a few batches at a time. A
// batch holds the requests that arrived while the ones before were in flight.
type writer struct {
	conn      *bus.Conn
	waiters   *waiters
	health    *health
	admits    *admission
	readyWait time.Duration // how long a batch waits while Redis is suspected
	batches   *batch.Batcher[outgoing]
	unloaded  lograte.Limiter // lines about functions that Redis does not have
}

func newWriter(conn *bus.Conn, w *waiters, h *health, admits *admission, readyWait time.Duration) *writer {
	return &writer{
		conn: conn, waiters: w, health: h, admits: admits, readyWait: readyWait, batches: batch.New[outgoing](writeBatch),
	}
}

// run sends one batch at a time, until the context ends.
func (w *writer) run(ctx context.Context) {
	p := w.conn.NewBoundedPipeline(resp.Limits{String: maxField})
	defer p.Close()
	p.Prepare(ctx)
	w.batches.Run(ctx, func(items []outgoing) { w.flush(p, items) }) //nolint:contextcheck // a batch outlives the context: its requests were taken
}

func (w *writer) add(o outgoing) { w.batches.Add(o) }

// serviceBatch is the part of a batch for one service.
type serviceBatch struct {
	service string
	waiting int64 // in the mailbox, before this batch
	safe    []outgoing
	unsafe  []outgoing
	conn    *resp.Conn
	err     error // the error of the connection: nothing was sent
	first   int   // index of its first command on the connection
}

// length returns the length of the mailbox with the safe requests of the batch.
func (m *serviceBatch) length() int64 { return m.waiting + int64(len(m.safe)) }

// flushTimeout is how long Redis may take to answer a batch. After that the result of
// the batch is unknown, and nothing is sent until Redis answers a ping.
const flushTimeout = time.Second

// flush writes a batch in one pipeline: an XADD for each safe request, one call of
// enqueue.lua for the unsafe requests of a service, and the length of the mailbox.
func (w *writer) flush(p *resp.Pipeline, items []outgoing) {
	if !w.health.awaitTrust(w.readyWait) {
		for _, o := range items {
			w.refuse(o, &notSentError{Cause: errSuspected})
		}
		return
	}
	patience := min(w.conn.Timeout(), flushTimeout)
	limited := lazyctx.WithDeadline(context.Background(), time.Now().Add(patience))
	defer limited.Cancel(nil)
	ctx := &limited
	batches := w.sort(ctx, items)
	for _, m := range batches {
		if m.conn, m.err = p.Conn(ctx, w.conn.Keys.Requests(m.service)); m.err == nil {
			m.first = m.conn.Out.Len()
			w.write(&m.conn.Out, m, false)
		}
	}
	p.Exchange(ctx, patience)
	for _, m := range batches {
		if err := m.failed(); err != nil && !rediserr.IsServer(err) {
			w.health.suspect()
			break
		}
	}
	for _, m := range batches {
		w.confirm(ctx, p, m)
	}
}

// failed returns why a batch has no answers, or nil.
func (m *serviceBatch) failed() error {
	if m.err != nil {
		return &notSentError{Cause: m.err}
	}
	_, err := m.conn.Answers()
	return notSent(err)
}

// notSent returns a notSentError if the connection was lost before anything was sent
// on it, and other errors as they are.
func notSent(err error) error {
	if errors.Is(err, resp.ErrNotConnected) {
		return &notSentError{Cause: err}
	}
	return err
}

var errSuspected = errors.New("an earlier batch has no answer from Redis")

// sort groups the requests by service and refuses the safe requests for which their
// mailbox has no room. The script decides about unsafe requests, since one with a known
// ID adds nothing.
func (w *writer) sort(ctx context.Context, items []outgoing) []*serviceBatch {
	var batches []*serviceBatch
	byService := make(map[string]*serviceBatch, 1)
	for _, o := range items {
		w.conn.Hook.At(bus.StepEnqueue, o.request.ID)
		m := byService[o.service]
		if m == nil {
			m = &serviceBatch{service: o.service, waiting: w.admits.length(o.service)}
			byService[o.service] = m
			batches = append(batches, m)
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
	return batches
}

// write adds the commands of a batch.
func (w *writer) write(out *resp.Commands, m *serviceBatch, whole bool) {
	mailbox := w.conn.Keys.Requests(m.service)
	for _, o := range m.safe {
		xadd(out, mailbox, o.request)
	}
	switch {
	case len(m.unsafe) > 0: // the script returns the length
		w.enqueue(out, mailbox, m, whole)
	case len(m.safe) > 0:
		out.Add("xlen", mailbox)
	}
}

// xadd adds a safe request to a mailbox.
func xadd(c *resp.Commands, mailbox string, r *wire.Request) {
	c.Begin(17)
	c.Text("xadd")
	c.Text(mailbox)
	c.Text("*")
	c.Text("v")
	c.Text(wire.ProtocolVersion)
	c.Text("id")
	c.Text(r.ID)
	c.Text("action")
	c.Text(r.Action)
	c.Text("args")
	c.Text(r.Args)
	c.Text("reply")
	c.Text(r.Reply)
	c.Text("deadline")
	c.Millis(r.Deadline)
	c.Text("meta")
	c.Text(r.Meta)
}

func (w *writer) enqueue(out *resp.Commands, mailbox string, m *serviceBatch, whole bool) {
	out.Script(w.conn.Scripts.Enqueue, whole, 1+len(m.unsafe), 5+12*len(m.unsafe))
	out.Text(mailbox)
	for _, o := range m.unsafe {
		out.Text(w.conn.Keys.Record(m.service, o.request.ID))
	}
	out.Number(w.admits.lane)
	out.Number(w.admits.limit)
	stored := w.admits.stored()
	out.Number(stored.all)
	out.Number(stored.one)
	out.Number(stored.alone)
	for _, o := range m.unsafe {
		r := o.request
		for _, word := range [...]string{r.ID, r.Action, r.Args, r.Reply} {
			out.Text(word)
		}
		out.Millis(r.Deadline)
		out.Text(r.Meta)
		out.Millis(r.Store)
		out.Text(r.Lane)
		out.Text(r.Fingerprint())
		out.Text(r.PrincipalKey)
		out.Number(w.admits.limitOf(m.service, r))
		if r.Internal {
			out.Text("1")
		} else {
			out.Text("")
		}
	}
}

// confirm gives the waiters of a batch the answers of Redis.
func (w *writer) confirm(ctx context.Context, p *resp.Pipeline, m *serviceBatch) {
	err := m.failed()
	var answers []string
	if err == nil {
		answers, _ = m.conn.Answers()
		answers = answers[m.first:]
	}
	for i, o := range m.safe {
		entry, failure := "", err
		if failure == nil {
			entry, failure = resp.Word(answers[i])
		}
		w.confirmOne(o, entry, failure)
	}
	if err == nil && len(m.unsafe) == 0 && len(m.safe) > 0 {
		if length, err := resp.Number(answers[len(m.safe)]); err == nil {
			w.admits.setLength(m.service, length)
		}
	}
	if len(m.unsafe) == 0 {
		return
	}
	answer := ""
	if err == nil {
		answer = answers[len(m.safe)]
	}
	w.confirmCall(ctx, p, m, answer, err)
}

// confirmCall does the same for the answer of the script.
func (w *writer) confirmCall(ctx context.Context, p *resp.Pipeline, m *serviceBatch, answer string, err error) {
	var words []string
	if err == nil {
		words, err = resp.Words(answer)
	}
	if w.conn.Scripts.Enqueue.Missing(err) { // nothing ran: repeating is safe
		words, err = w.enqueueWhole(ctx, p, m)
	}
	if err == nil && len(words) != 2*len(m.unsafe)+1 {
		err = fmt.Errorf("enqueue.lua returned %d values for %d requests", len(words), len(m.unsafe))
	}
	if err != nil {
		for _, o := range m.unsafe {
			w.confirmOne(o, "", err)
		}
		return
	}
	length, _ := strconv.ParseInt(words[len(words)-1], 10, 64)
	w.admits.setLength(m.service, length)
	for i, o := range m.unsafe {
		w.confirmUnsafe(o, words[2*i], words[2*i+1], length)
	}
}

// enqueueWhole sends the source of the script to a server that does not have it. The
// answers of the pipeline have been read by then; other batches keep theirs.
func (w *writer) enqueueWhole(ctx context.Context, p *resp.Pipeline, m *serviceBatch) ([]string, error) {
	k, err := p.Conn(ctx, w.conn.Keys.Requests(m.service))
	if err != nil {
		return nil, &notSentError{Cause: err}
	}
	patience := min(w.conn.Timeout(), flushTimeout)
	script := w.conn.Scripts.Enqueue
	if script.Functions() {
		answer, err := k.Do(patience, func(out *resp.Commands) { out.Add("function", "load", script.Library()) })
		if err != nil {
			return nil, notSent(err)
		}
		if _, err := resp.Word(answer); rediserr.IsRefused(err) {
			w.unloaded.Error(w.conn.Log(), "Redis does not have the functions of Mailroom, and this user may not load them: run mailroom acl load as an administrator",
				"function", script.Function, "error", err)
		}
	}
	var call resp.Commands
	w.enqueue(&call, w.conn.Keys.Requests(m.service), m, !script.Functions())
	answer, err := k.Do(patience, func(out *resp.Commands) { out.Copy(call.Bytes()) })
	if err == nil {
		answer, err = p.Follow(ctx, call.Bytes(), answer, patience)
	}
	if err != nil {
		return nil, notSent(err)
	}
	return resp.Words(answer)
}

// confirmOne handles the answer to one request. A request that was not sent is refused
// at once. If that is unknown, its caller keeps waiting and the sweep looks it up.
func (w *writer) confirmOne(o outgoing, entry string, err error) {
	switch {
	case err == nil:
		w.conn.Hook.At(bus.StepEnqueued, o.request.ID)
		w.waiters.written(o.id, o.request, entry)
	case errors.Is(err, ErrUnavailable):
		w.refuse(o, err)
	case rediserr.IsServer(err):
		if !rediserr.IsMoving(err) || !w.retry(o) {
			w.refuse(o, &notSentError{Cause: err})
		}
	default:
		w.waiters.written(o.id, o.request, "")
	}
}

// moveWait is the time before a request is sent again to a Redis that fails over.
const moveWait = 20 * time.Millisecond

// retry sends a request again that Redis did not run, because it fails over or moves the
// mailbox. It reports false if that has taken too long.
func (w *writer) retry(o outgoing) bool {
	now := time.Now()
	if o.until.IsZero() {
		o.until = now.Add(w.readyWait)
	}
	if now.After(o.until) {
		return false
	}
	time.AfterFunc(moveWait, func() { w.add(o) })
	return true
}

// refuse ends the wait for a request that was not accepted. A request that was sent
// before may have been accepted then: its caller keeps waiting.
func (w *writer) refuse(o outgoing, err error) {
	if o.again {
		w.waiters.written(o.id, o.request, "")
		return
	}
	w.waiters.end(o.id, o.request, result{err: err})
}

// confirmUnsafe handles the state that the script returned for one request.
func (w *writer) confirmUnsafe(o outgoing, state, value string, length int64) {
	var r result
	switch state {
	case wire.StateQueued:
		w.confirmOne(o, value, nil)
		return
	case wire.StateDone:
		r.reply, r.err = wire.ParseOutcome(value)
		r.reply.Replayed = !o.again
	case wire.StateDead:
		r.err = ErrDead
	case "reused":
		r.err = ErrKeyReused
	case "lane":
		waiting, _ := strconv.ParseInt(value, 10, 64)
		w.refuse(o, &OverloadedError{Service: o.service, Lane: o.request.Lane, Waiting: waiting, RetryAfter: minRetryAfter})
		return
	case "stored":
		ms, _ := strconv.ParseInt(value, 10, 64)
		w.refuse(o, &StorageLimitedError{Service: o.service, RetryAfter: max(time.Duration(ms)*time.Millisecond, minRetryAfter)})
		return
	case "full":
		w.refuse(o, w.admits.overloaded(o.service, length, w.admits.limitOf(o.service, o.request)))
		return
	default:
		r.err = fmt.Errorf("enqueue.lua returned the unknown state %q", state)
	}
	w.waiters.end(o.id, o.request, r)
}
