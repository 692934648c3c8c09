package conformance

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is a fault that the proxy injects.
type Fault struct {
	// Kind is drop-reply (the command reaches Redis, its answer and the connection are
	// lost), cut-request (the command and the connection are lost), cut (all connections
	// end), refuse (new connections are refused too), accept (ends refuse), or shift-time
	// (the answers of TIME are later by Shift).
	Kind string `json:"kind"`
	// Command is the name of a command or of a script.
	Command string `json:"command"`
	// Entries limits drop-reply to answers that hold an entry.
	Entries bool `json:"entries"`
	// Times is how often the fault happens. Defaults to 1.
	Times int `json:"times"`
	// Shift is a time.
	Shift duration `json:"shift"`
}

// proxy stands between the workers and Redis. It reads every command and every answer.
type proxy struct {
	listener net.Listener
	target   string
	trace    *trace
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []*proxyConn
	opened int
	faults []*Fault // that have not happened yet
	refuse bool
	closed bool
	shift  time.Duration
}

func startProxy(target string, t *trace) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, trace: t}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut()
	p.running.Wait()
}

func (p *proxy) accept() {
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
func (p *proxy) cut() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// inject sets a fault.
func (p *proxy) inject(f Fault) {
	p.mu.Lock()
	f.Command = strings.ToUpper(f.Command)
	switch f.Kind {
	case "refuse", "accept":
		p.refuse = f.Kind == "refuse"
	case "shift-time":
		p.shift = f.Shift.of(0)
	case "drop-reply", "cut-request":
		f.Times = max(f.Times, 1)
		p.faults = append(p.faults, &f)
	}
	p.mu.Unlock()
	if f.Kind == "refuse" || f.Kind == "cut" {
		p.cut()
	}
}

// unused returns a fault that has not happened, or nil.
func (p *proxy) unused() *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) == 0 {
		return nil
	}
	return p.faults[0]
}

// happens reports whether a fault of the kind happens to the command now.
func (p *proxy) happens(kind string, c *command, reply *value) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f *Fault) bool {
		if f.Kind != kind || f.Command != c.name && f.Command != strings.ToUpper(c.script) {
			return false
		}
		return !f.Entries || reply != nil && len(reply.items) > 0
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
	proxy          *proxy
	id             int
	client, server net.Conn

	mu      sync.Mutex
	waiting []awaited
}

// awaited is a command without an answer, and the number of answers that it gets.
type awaited struct {
	command *command
	answers int
}

func (c *proxyConn) close() { _, _ = c.client.Close(), c.server.Close() }

// requests passes on commands.
func (c *proxyConn) requests() {
	defer c.close()
	in := newRespReader(c.client)
	for {
		args, err := in.command()
		if err != nil {
			return
		}
		if len(args) == 0 {
			continue
		}
		sent := c.proxy.trace.add(c.id, args)
		if c.proxy.happens("cut-request", sent, nil) {
			c.proxy.trace.answer(sent, value{kind: '-', text: "the command was lost"}, true)
			return
		}
		answers := 1
		if strings.HasSuffix(sent.name, "SUBSCRIBE") {
			answers = max(1, len(args)-1)
		}
		c.mu.Lock()
		c.waiting = append(c.waiting, awaited{sent, answers})
		c.mu.Unlock()
		if _, err := c.server.Write(in.raw); err != nil {
			return
		}
	}
}

// replies passes on answers.
func (c *proxyConn) replies() {
	defer c.close()
	in := newRespReader(c.server)
	for {
		v, err := in.answer()
		if err != nil {
			return
		}
		raw := in.raw
		if answered := c.match(v); answered != nil {
			lost := c.proxy.happens("drop-reply", answered, &v)
			if answered.name == "TIME" && len(v.items) == 2 {
				v, raw = c.proxy.shifted(v, raw)
			}
			c.proxy.trace.answer(answered, v, lost)
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
func (c *proxyConn) match(v value) *command {
	if (v.kind == '>' || v.kind == '*') && len(v.items) > 0 && strings.HasSuffix(v.items[0].text, "message") {
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
func (p *proxy) shifted(v value, raw []byte) (value, []byte) {
	p.mu.Lock()
	shift := p.shift
	p.mu.Unlock()
	seconds, err := strconv.ParseInt(v.items[0].text, 10, 64)
	if shift == 0 || err != nil {
		return v, raw
	}
	text := strconv.FormatInt(seconds+int64(shift/time.Second), 10)
	v.items[0].text = text
	return v, appendCommand(nil, text, v.items[1].text)
}
