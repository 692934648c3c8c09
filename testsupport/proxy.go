package testsupport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy inside the test binary that breaks connections in chosen ways. Its methods may be used from any
// goroutine and at any time; each setting holds for present and later connections until it is changed.
type Proxy struct {
	target   string
	listener net.Listener
	links    sync.WaitGroup

	mu       sync.Mutex
	faults   faults
	drops    []*drop
	open     map[*link]struct{}
	finished bool
}

// faults are what a proxy does to the bytes that pass now.
type faults struct {
	refuse          bool
	swallowRequests bool
	swallowReplies  bool
	delay           time.Duration
	held            chan struct{} // closed when replies are no longer held; nil: they are not
}

// StartProxy starts a proxy on a free loopback port that passes connections on to target, a host and port. It closes
// everything when the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for a proxy to %s: %v", target, err)
	}
	p := &Proxy{target: target, listener: listener, open: map[*link]struct{}{}}
	// Dialling ends with ctx; the test's own context would end before the cleanups that may still use the proxy.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		p.accept(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // it was open, and nothing is left to do if it is not
		<-accepting
		p.finish()
		p.links.Wait()
	})
	return p
}

// Addr returns the proxy's host and port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns redis://host:port of the proxy.
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// Cut closes all present connections on both sides. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.close()
	}
}

// Refuse makes the proxy close each new connection at once. Present ones go on.
func (p *Proxy) Refuse(on bool) { p.set(func(f *faults) { f.refuse = on }) }

// Delay holds back all bytes by d in each direction, so that a round trip takes 2d longer. Order and throughput stay.
func (p *Proxy) Delay(d time.Duration) { p.set(func(f *faults) { f.delay = d }) }

// Blackhole swallows the bytes of both directions while connections stay open, as a network does that drops packets.
// See [Proxy.BlackholeReplies] for what happens to a connection that lost bytes.
func (p *Proxy) Blackhole(on bool) {
	p.set(func(f *faults) { f.swallowRequests, f.swallowReplies = on, on })
}

// BlackholeRequests swallows what clients send. See [Proxy.BlackholeReplies].
func (p *Proxy) BlackholeRequests(on bool) { p.set(func(f *faults) { f.swallowRequests = on }) }

// BlackholeReplies swallows what the server sends. A connection that lost bytes stays silent in that direction also
// after the setting is taken back, until one side closes it: passing on later bytes would show the client a stream with
// a hole in it, which TCP never does. Connections that lost nothing, and new ones, work again at once.
func (p *Proxy) BlackholeReplies(on bool) { p.set(func(f *faults) { f.swallowReplies = on }) }

// HoldReplies stops reading what the server sends, which waits in the server and is passed on once the setting is taken
// back: a client that is too slow, as the server sees it. What has been read already is still passed on.
func (p *Proxy) HoldReplies(on bool) {
	p.set(func(f *faults) {
		switch {
		case on && f.held == nil:
			f.held = make(chan struct{})
		case !on && f.held != nil:
			close(f.held)
			f.held = nil
		}
	})
}

func (p *Proxy) set(change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.faults)
}

func (p *Proxy) now() faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // one connection that failed before it was accepted does not end the proxy
		}
		if p.now().refuse {
			_ = client.Close() // nothing was read or written
			continue
		}
		server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = client.Close() // the client sees a server that is away
			continue
		}
		if tcp, ok := server.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(heldBytes) // what is held shall wait in the server, not in the kernel
		}
		p.connect(client, server)
	}
}

// heldBytes is about how much of what the server sends the kernel keeps while replies are held.
const heldBytes = 256 << 10

func (p *Proxy) connect(client, server net.Conn) {
	l := newLink(p, client, server)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		l.close()
		return
	}
	p.open[l] = struct{}{}
	p.links.Go(func() {
		l.run()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, l)
	})
}

func (p *Proxy) finish() {
	p.mu.Lock()
	p.finished = true
	p.mu.Unlock()
	p.Cut()
}
