package testsupport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy in the test binary that breaks connections. Its methods are safe for concurrent use. Each setting
// applies to present and later connections until it is changed.
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

// faults are the present settings of a proxy.
type faults struct {
	refuse          bool
	swallowRequests bool
	swallowReplies  bool
	delay           time.Duration
	held            chan struct{} // not nil: replies are held until it is closed
}

// StartProxy starts a proxy to target, a host and port, on a free loopback port. The proxy and its connections are closed
// when the test ends.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for a proxy to %s: %v", target, err)
	}
	p := &Proxy{target: target, listener: listener, open: map[*link]struct{}{}}
	// The context of the test would end before its cleanups, which may still use the proxy.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		p.accept(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // an error changes nothing
		<-accepting
		p.finish()
		p.links.Wait()
	})
	return p
}

// Addr returns the host and port of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns the address of the proxy, redis://host:port.
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// Cut closes all present connections on both sides, and accepts new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.close()
	}
}

// Refuse makes the proxy close each new connection at once. Present ones stay open.
func (p *Proxy) Refuse(on bool) { p.set(func(f *faults) { f.refuse = on }) }

// Delay delays all bytes by d in each direction; a round trip takes 2d longer. Order and throughput stay the same.
func (p *Proxy) Delay(d time.Duration) { p.set(func(f *faults) { f.delay = d }) }

// Blackhole drops the bytes of both directions, and keeps connections open, like a network that drops packets. See
// [Proxy.BlackholeReplies] for connections that lost bytes.
func (p *Proxy) Blackhole(on bool) {
	p.set(func(f *faults) { f.swallowRequests, f.swallowReplies = on, on })
}

// BlackholeRequests drops the bytes of clients. See [Proxy.BlackholeReplies] for connections that lost bytes.
func (p *Proxy) BlackholeRequests(on bool) { p.set(func(f *faults) { f.swallowRequests = on }) }

// BlackholeReplies drops the bytes of the server. A connection that lost bytes stays silent in that direction until one side
// closes it, even if the setting is reset: later bytes would form a stream with a gap, which TCP never delivers. Other
// connections work again at once.
func (p *Proxy) BlackholeReplies(on bool) { p.set(func(f *faults) { f.swallowReplies = on }) }

// HoldReplies stops reading from the server, like a client that is too slow. The replies wait in the server until the
// setting is reset. Bytes that were read before are still forwarded.
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
			continue // the connection failed before it was accepted
		}
		if p.now().refuse {
			_ = client.Close() // nothing was read or written
			continue
		}
		server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = client.Close() // like a server that is unreachable
			continue
		}
		if tcp, ok := server.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(heldBytes) // a small buffer, so that held replies wait in the server and not in the kernel
		}
		p.connect(client, server)
	}
}

// heldBytes is the approximate size of the kernel's buffer for replies, in bytes.
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
