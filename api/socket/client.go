package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/outbox"
)

// maxUnsent is how many bytes of answers may wait for a client that does not read.
const maxUnsent = 8 << 20

// client is a socket that calls actions.
type client struct {
	sockets *Sockets
	conn    *conn
	out     *outbox.Outbox
	shake   Handshake
	ctx     context.Context //nolint:containedctx // ends with the socket

	end  context.CancelCauseFunc
	mu   sync.Mutex
	open map[string]*pending // unanswered, by the ID
	size int                 // of their arguments, in bytes
	idle sync.Cond           // open became empty

	subscriptions map[string]*subscription // by the ID; nil: it begins
}

// pending is an unanswered request.
type pending struct {
	call      *Call
	cancelled bool // by its client
}

// maxArguments is how many bytes the arguments of unanswered requests may have together.
const maxArguments = 16 << 20

var errUnread = &frames.Bye{Reason: frames.Slow, Message: "the client does not read its answers"}

// serveClient serves a client until its socket ends, or the gateway stops and its requests
// are answered.
func (s *Sockets) serveClient(c *conn, h Handshake) {
	ctx, end := context.WithCancelCause(context.Background())
	k := &client{sockets: s, conn: c, shake: h, ctx: ctx, end: end, open: make(map[string]*pending)}
	k.idle.L = &k.mu
	k.out = outbox.New(maxUnsent, c.Send, end)
	var reading sync.WaitGroup
	reading.Go(func() { end(k.read()) })
	stop := context.AfterFunc(s.draining, k.drain)
	stopChecks := s.recheck(c, &h, "")
	<-ctx.Done()
	stopChecks()
	stop()
	k.unsubscribeAll()
	bye, isBye := errors.AsType[*frames.Bye](context.Cause(ctx))
	var last func([]byte) []byte
	if isBye {
		last = bye.Append
	}
	k.out.Close(last, isBye && bye.Reason != frames.Drain)
	k.out.Wait()
	c.Close(bye)
	reading.Wait()
}

// drain ends the socket once its requests are answered.
func (k *client) drain() {
	k.await()
	k.end(k.sockets.cfg.Host.DrainBye)
}

// await waits until no request is open.
func (k *client) await() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.open) > 0 {
		k.idle.Wait()
	}
}

// read reads frames until the socket ends.
func (k *client) read() error {
	for {
		message, err := k.conn.Receive()
		if err != nil {
			return err
		}
		if k.ctx.Err() != nil {
			continue // until the peer has closed
		}
		f, err := frames.ParseClient(message)
		if err == nil {
			err = k.frame(f)
		}
		if err != nil {
			k.end(err)
		}
	}
}

// frame handles one frame.
func (k *client) frame(f *frames.Client) error {
	switch {
	case f.Ping != nil:
		k.send(frames.AppendPong)
	case f.Auth != nil: // the peer is known already
	case f.Serve != nil:
		return &frames.Bye{Reason: frames.Invalid, Message: "a client cannot serve: open another socket"}
	case f.ID == nil:
		return &frames.Bye{Reason: frames.Invalid, Message: "a frame of a client needs an id"}
	case f.Cancel:
		k.cancel(f.ID)
	case f.Request != "":
		return k.request(f)
	case f.Subscribe != "":
		k.subscribe(f)
	case f.Unsubscribe:
		k.unsubscribe(f.ID)
	default:
		return &frames.Bye{Reason: frames.Invalid, Message: "not a frame of a client"}
	}
	return nil
}

// request starts a request.
func (k *client) request(f *frames.Client) error {
	limit := k.sockets.cfg.InFlight
	p := &pending{call: &Call{
		Principal: k.shake.Principal, Address: k.shake.Address, Service: f.Service, Action: f.Request, Args: f.Args,
		Key: f.Key, Timeout: time.Duration(f.Timeout) * time.Millisecond, Version: f.Version, Async: f.Async,
	}}
	if f.Progress {
		p.call.Progress = func(text string) {
			k.send(func(dst []byte) []byte { return frames.AppendProgress(dst, f.ID, text) })
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch open := len(k.open); {
	case k.sockets.draining.Err() != nil:
		return nil // the client sends it again, after bye
	case open >= 2*limit:
		return &frames.Bye{Reason: frames.Flood, Message: fmt.Sprintf("more than %d requests are unanswered", 2*limit)}
	case k.open[string(f.ID)] != nil:
		return &frames.Bye{Reason: frames.Invalid, Message: fmt.Sprintf("the id %s is in use", f.ID)}
	case open > 0 && k.size+len(f.Args) > maxArguments:
		k.refuse(f.ID, exchange.Fail(wire.CodeOverloaded, fmt.Sprintf("the unanswered requests have more than %d bytes of arguments", maxArguments)).After(time.Second))
		return nil
	case open >= limit:
		k.refuse(f.ID, exchange.Fail(wire.CodeOverloaded, fmt.Sprintf("more than %d requests are unanswered", limit)).After(time.Second))
		return nil
	}
	k.open[string(f.ID)] = p
	k.size += len(f.Args)
	k.sockets.pool.run(func() { k.answer(f.ID, p) })
	return nil
}

// answer makes a call and sends its answer.
func (k *client) answer(id jsontext.Value, p *pending) {
	if a := k.call(p.call); a != nil {
		k.finish(id, p, (&frames.Answer{
			ID: id, Envelope: a.Envelope, Status: a.Status, Location: a.Location, Ticket: a.Ticket, RetryAfter: a.RetryAfter.Milliseconds(),
		}).Append)
	}
}

// finish sends the answer to a request that has none yet.
func (k *client) finish(id jsontext.Value, p *pending, answer func([]byte) []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open[string(id)] != p {
		return // it was cancelled
	}
	delete(k.open, string(id))
	k.size -= len(p.call.Args)
	k.send(answer)
	if len(k.open) == 0 {
		k.idle.Broadcast()
	}
}

// call makes a call with the principal that the credential has now. A credential that is
// not accepted any more ends the socket.
func (k *client) call(call *Call) *Answer {
	if k.shake.Credential == "" {
		return k.sockets.cfg.Calls.Call(call)
	}
	principal, f := k.sockets.cfg.Auth.Verify(k.ctx, k.shake.Credential)
	switch {
	case f == nil:
		call.Principal = principal
		return k.sockets.cfg.Calls.Call(call)
	case f.Code == wire.CodeUnauthenticated:
		k.end(unauthenticated(f))
		return nil
	default:
		in := exchange.NewMessage(nil, "")
		return &Answer{Envelope: string(f.Envelope(&in)), RetryAfter: f.RetryAfter}
	}
}

// cancel cancels a request. A request that is answered already stays as it is.
func (k *client) cancel(id jsontext.Value) {
	k.mu.Lock()
	p := k.open[string(id)]
	again := p == nil || p.cancelled
	if !again {
		p.cancelled = true
	}
	k.mu.Unlock()
	if !again {
		go k.cancelCall(id, p)
	}
}

// cancelTries and cancelPause bound the tries to cancel a request that is about to be sent.
const (
	cancelTries = 100
	cancelPause = 20 * time.Millisecond
)

// cancelCall cancels the call of a request.
func (k *client) cancelCall(id jsontext.Value, p *pending) {
	for range cancelTries {
		switch k.sockets.cfg.Calls.Cancel(k.ctx, p.call) {
		case Asked:
			return
		case Abandoned:
			in := exchange.NewMessage(nil, "")
			f := exchange.Fail(wire.CodeConflict, "the request was cancelled").With(map[string]string{"state": wire.StateCancelled})
			k.finish(id, p, (&frames.Answer{ID: id, Envelope: string(f.Envelope(&in))}).Append)
			return
		case NotSent:
		}
		if backoff.Pause(k.ctx, cancelPause) != nil {
			return
		}
	}
}

// send adds a frame to those that are sent.
func (k *client) send(frame func([]byte) []byte) {
	if !k.out.Add(frame) {
		k.end(errUnread)
	}
}
