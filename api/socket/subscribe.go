package socket

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/frames"
)

// maxSubscriptions is the maximum number of subscriptions of one socket.
const maxSubscriptions = 1000

// topic is a cache tag of a service.
type topic struct{ service, tag string }

// topics are the subscriptions to cache tags of all sockets. It is safe for concurrent use.
type topics struct {
	mu          sync.Mutex
	subscribers map[topic]map[*subscription]struct{}
}

// subscription is one subscription of a client.
type subscription struct {
	client *client
	id     jsontext.Value
	topic  topic              // of a tag
	stop   context.CancelFunc // of a ticket; nil: it is to a tag

	mu sync.Mutex
	at string // the nonce of the tag that the client knows
}

func (t *topics) add(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.subscribers[s.topic] == nil {
		t.subscribers[s.topic] = make(map[*subscription]struct{})
	}
	t.subscribers[s.topic][s] = struct{}{}
}

func (t *topics) remove(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers[s.topic], s)
	if len(t.subscribers[s.topic]) == 0 {
		delete(t.subscribers, s.topic)
	}
}

// of returns the subscriptions to a topic.
func (t *topics) of(of topic) []*subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*subscription, 0, len(t.subscribers[of]))
	for s := range t.subscribers[of] {
		list = append(list, s)
	}
	return list
}

func (t *topics) all() []topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]topic, 0, len(t.subscribers))
	for of := range t.subscribers {
		list = append(list, of)
	}
	return list
}

// Dropped tells the subscribers that tags of a service were invalidated. It does not block.
func (s *Sockets) Dropped(service string, tags []string) {
	for _, tag := range tags {
		of := topic{service, tag}
		if list := s.topics.of(of); len(list) > 0 {
			go s.tell(of)
		}
	}
}

// Missed tells the subscribers of the tags that were invalidated while the gateway did not
// receive invalidations. It does not block.
func (s *Sockets) Missed() {
	go func() {
		for _, of := range s.topics.all() {
			s.tell(of)
		}
	}()
}

// tell sends an event to the subscribers of a topic whose nonce has changed. Without Redis
// it sends nothing: the gateway looks again when it receives invalidations again.
func (s *Sockets) tell(of topic) {
	at, err := s.cfg.Events.Nonce(s.draining, of.service, of.tag)
	if err != nil {
		s.cfg.Log.Warn("the nonce of a tag cannot be read", "service", of.service, "tag", of.tag, "error", err)
		return
	}
	for _, sub := range s.topics.of(of) {
		sub.tell(at)
	}
}

// tell sends an event unless the client knows the nonce.
func (s *subscription) tell(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == at {
		return
	}
	s.at = at
	s.client.send((&frames.Event{Event: s.topic.tag, Service: s.topic.service, At: at}).Append)
}

// subscribe starts a subscription to a tag, or to a request by its ticket.
func (k *client) subscribe(f *frames.Client) {
	k.mu.Lock()
	_, taken := k.subscriptions[string(f.ID)]
	full := len(k.subscriptions) >= maxSubscriptions
	if !taken && !full {
		if k.subscriptions == nil {
			k.subscriptions = make(map[string]*subscription)
		}
		k.subscriptions[string(f.ID)] = nil // until it has begun
	}
	k.mu.Unlock()
	switch {
	case taken:
		k.end(&frames.Bye{Reason: frames.Invalid, Message: fmt.Sprintf("the id %s is in use", f.ID)})
	case full:
		k.refuse(f.ID, exchange.Fail(wire.CodeOverloaded, fmt.Sprintf("more than %d subscriptions", maxSubscriptions)))
	case f.Service != "":
		go k.subscribeTag(f)
	default:
		go k.subscribeTicket(f)
	}
}

// refuse answers a frame with a failure.
func (k *client) refuse(id jsontext.Value, f *exchange.Failure) {
	in := exchange.NewMessage(nil, "")
	k.send((&frames.Answer{ID: id, Envelope: string(f.Envelope(&in)), RetryAfter: f.RetryAfter.Milliseconds()}).Append)
}

func (k *client) subscribeTag(f *frames.Client) {
	s := &subscription{client: k, id: f.ID, topic: topic{f.Service, f.Subscribe}}
	if refused := k.sockets.cfg.Events.MaySubscribe(k.shake.Principal, f.Service, f.Subscribe); refused != nil {
		k.forget(f.ID)
		k.refuse(f.ID, refused)
		return
	}
	s.mu.Lock() // the answer comes before the first event
	k.sockets.topics.add(s)
	at, err := k.sockets.cfg.Events.Nonce(k.ctx, f.Service, f.Subscribe)
	if err != nil {
		s.mu.Unlock()
		k.sockets.topics.remove(s)
		k.forget(f.ID)
		k.refuse(f.ID, exchange.Unavailable("Redis is not reachable"))
		return
	}
	s.at = at
	k.send((&frames.Subscribed{ID: f.ID, At: at, Recovered: f.After == "" || f.After == at}).Append)
	s.mu.Unlock()
	k.keep(s)
}

func (k *client) subscribeTicket(f *frames.Client) {
	ctx, stop := context.WithCancel(k.ctx)
	s := &subscription{client: k, id: f.ID, stop: stop}
	event := func(data []byte, progress string) {
		k.send((&frames.Event{Event: f.Subscribe, Data: data, Progress: progress}).Append)
	}
	run, refused := k.sockets.cfg.Events.Follow(ctx, k.shake.Principal, f.Subscribe,
		func(state wire.RequestState) { event(state.JSON(), "") }, func(text string) { event(nil, text) })
	if refused != nil {
		stop()
		k.forget(f.ID)
		k.refuse(f.ID, refused)
		return
	}
	k.send((&frames.Subscribed{ID: f.ID, Recovered: true}).Append)
	k.keep(s)
	run()
	k.forget(f.ID)
	stop()
}

// keep notes a subscription that has begun. One that was ended meanwhile stops.
func (k *client) keep(s *subscription) {
	k.mu.Lock()
	_, wanted := k.subscriptions[string(s.id)]
	if wanted {
		k.subscriptions[string(s.id)] = s
	}
	k.mu.Unlock()
	if !wanted {
		k.sockets.end(s)
	}
}

// forget removes a subscription and returns it; nil: it has not begun, or ended.
func (k *client) forget(id jsontext.Value) *subscription {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.subscriptions[string(id)]
	delete(k.subscriptions, string(id))
	return s
}

// unsubscribe ends a subscription.
func (k *client) unsubscribe(id jsontext.Value) {
	if s := k.forget(id); s != nil {
		k.sockets.end(s)
	}
	k.send(func(dst []byte) []byte { return frames.AppendOK(dst, id) })
}

// end ends a subscription that has begun.
func (s *Sockets) end(sub *subscription) {
	if sub.stop != nil {
		sub.stop()
		return
	}
	s.topics.remove(sub)
}

// unsubscribeAll ends the subscriptions of a socket that has ended.
func (k *client) unsubscribeAll() {
	k.mu.Lock()
	ended := k.subscriptions
	k.subscriptions = nil
	k.mu.Unlock()
	for _, s := range ended {
		if s != nil {
			k.sockets.end(s)
		}
	}
}
