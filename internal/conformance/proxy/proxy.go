package proxy

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// Proxy stands between the workers and Redis. It reads every command and every answer.
type Proxy struct {
	listener net.Listener
	target   string
	trace    *trace.Trace
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []*proxyConn
	opened int
	faults []*suites.Fault // that have not happened yet
	refuse bool
	closed bool
	shift  time.Duration
}

// Start starts a proxy before the Redis at an address.
func Start(target string, t *trace.Trace) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, trace: t}
	p.running.Go(p.accept)
	return p, nil
}

// Address returns the address of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.target, time.Second) //nolint:noctx // it has a limit
		p.mu.Lock()
		if err != nil || p.refuse || p.closed {
			p.mu.Unlock()
			_ = conn.Close()
			if server != nil {
				_ = server.Close()
			}
			continue
		}
		p.opened++
		c := &proxyConn{proxy: p, id: p.opened, client: conn, server: server}
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.running.Go(c.requests)
		p.running.Go(c.replies)
	}
}

// cut ends all connections.
func (p *Proxy) cut() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// Inject sets a fault.
func (p *Proxy) Inject(f suites.Fault) {
	p.mu.Lock()
	f.Command = strings.ToUpper(f.Command)
	switch f.Kind {
	case "refuse", "accept":
		p.refuse = f.Kind == "refuse"
	case "shift-time":
		p.shift = f.Shift.Of(0)
	case "drop-reply", "cut-request":
		f.Times = max(f.Times, 1)
		p.faults = append(p.faults, &f)
	}
	p.mu.Unlock()
	if f.Kind == "refuse" || f.Kind == "cut" {
		p.cut()
	}
}

// Unused returns a fault that has not happened, or nil.
func (p *Proxy) Unused() *suites.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) == 0 {
		return nil
	}
	return p.faults[0]
}

// happens reports whether a fault of the kind happens to the command now.
func (p *Proxy) happens(kind string, c *trace.Command, reply *resp.Value) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f *suites.Fault) bool {
		if f.Kind != kind || f.Command != c.Name && f.Command != strings.ToUpper(c.Script) {
			return false
		}
		return !f.Entries || reply != nil && len(reply.Items) > 0
	})
	if i < 0 {
		return false
	}
	if p.faults[i].Times--; p.faults[i].Times == 0 {
		p.faults = slices.Delete(p.faults, i, i+1)
	}
	return true
}

// proxyConn is one connection of a worker.
type proxyConn struct {
	proxy          *Proxy
	id             int
	client, server net.Conn

	mu      sync.Mutex
	waiting []awaited
}

// awaited is a command without an answer, and the number of answers that it gets.
type awaited struct {
	command *trace.Command
	answers int
}

func (c *proxyConn) close() { _, _ = c.client.Close(), c.server.Close() }

// requests passes on commands.
func (c *proxyConn) requests() {
	defer c.close()
	in := resp.NewReader(c.client)
	for {
		args, err := in.Command()
		if err != nil {
			return
		}
		if len(args) == 0 {
			continue
		}
		sent := c.proxy.trace.Add(c.id, args)
		if c.proxy.happens("cut-request", sent, nil) {
			c.proxy.trace.Answer(sent, resp.Value{Kind: '-', Text: "the command was lost"}, true)
			return
		}
		answers := 1
		if strings.HasSuffix(sent.Name, "SUBSCRIBE") {
			answers = max(1, len(args)-1)
		}
		c.mu.Lock()
		c.waiting = append(c.waiting, awaited{sent, answers})
		c.mu.Unlock()
		if _, err := c.server.Write(in.Raw); err != nil {
			return
		}
	}
}

// replies passes on answers.
func (c *proxyConn) replies() {
	defer c.close()
	in := resp.NewReader(c.server)
	for {
		v, err := in.Answer()
		if err != nil {
			return
		}
		raw := in.Raw
		if answered := c.match(v); answered != nil {
			lost := c.proxy.happens("drop-reply", answered, &v)
			if answered.Name == "TIME" && len(v.Items) == 2 {
				v, raw = c.proxy.shifted(v, raw)
			}
			c.proxy.trace.Answer(answered, v, lost)
			if lost {
				return
			}
		}
		if _, err := c.client.Write(raw); err != nil {
			return
		}
	}
}

// match returns the command that an answer belongs to; nil for a message of a channel.
func (c *proxyConn) match(v resp.Value) *trace.Command {
	if (v.Kind == '>' || v.Kind == '*') && len(v.Items) > 0 && strings.HasSuffix(v.Items[0].Text, "message") {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return nil
	}
	w := &c.waiting[0]
	answered := w.command
	if w.answers--; w.answers == 0 {
		c.waiting = c.waiting[1:]
	}
	return answered
}

// shifted returns an answer of TIME that is later by the shift.
func (p *Proxy) shifted(v resp.Value, raw []byte) (resp.Value, []byte) {
	p.mu.Lock()
	shift := p.shift
	p.mu.Unlock()
	seconds, err := strconv.ParseInt(v.Items[0].Text, 10, 64)
	if shift == 0 || err != nil {
		return v, raw
	}
	text := strconv.FormatInt(seconds+int64(shift/time.Second), 10)
	v.Items[0].Text = text
	return v, resp.AppendCommand(nil, text, v.Items[1].Text)
}
