package testsupport

import (
	"bytes"
	"net"
)

// drop requests the loss of one reply.
type drop struct {
	match    []byte
	happened chan struct{} // closed when the reply was lost
}

// lostReply is a drop whose request was found.
type lostReply struct {
	drop   *drop
	passed chan struct{} // closed when the whole chunk with the request has been written to the server
}

// DropNextReply loses the reply to the next request that contains match, on any connection: the request reaches the
// server, the proxy drops the first bytes that the server sends afterwards, and closes the connection. The client does not
// know whether its command was executed. The returned channel is closed after the loss. Each call loses one reply; several
// calls may wait at the same time.
//
// match is compared with the bytes of the client, so "XADD" matches only a command in upper case. On a pipelined
// connection, replies to earlier commands may be lost, too.
func (p *Proxy) DropNextReply(match string) <-chan struct{} {
	d := &drop{match: []byte(match), happened: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = append(p.drops, d)
	return d.happened
}

// takeDrop returns and removes the first drop that text matches; nil if there is none.
func (p *Proxy) takeDrop(text []byte) *drop {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, d := range p.drops {
		if bytes.Contains(text, d.match) {
			p.drops = append(p.drops[:i:i], p.drops[i+1:]...)
			return d
		}
	}
	return nil
}

// longestMatch returns the length of the longest match of all drops.
func (p *Proxy) longestMatch() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := 0
	for _, d := range p.drops {
		longest = max(longest, len(d.match))
	}
	return longest
}

// watcher forwards the requests of one link, and searches them for the match of a drop.
type watcher struct {
	link *link
	tail []byte // the end of the bytes so far: a match may span two reads
}

func (w *watcher) forward(b []byte, server net.Conn) bool {
	text := append(w.tail, b...)
	d := w.take(text)
	if keep := w.link.proxy.longestMatch() - 1; keep > 0 {
		w.tail = bytes.Clone(text[max(0, len(text)-keep):])
	} else {
		w.tail = nil
	}
	if d == nil {
		return write(server, b)
	}
	// Set before the write, because the server may answer before Write returns.
	lost := &lostReply{drop: d, passed: make(chan struct{})}
	w.link.mu.Lock()
	w.link.lost = lost
	w.link.mu.Unlock()
	ok := write(server, b)
	close(lost.passed)
	return ok
}

// take returns one drop at most, because the link ends with its first lost reply.
func (w *watcher) take(text []byte) *drop {
	w.link.mu.Lock()
	taken := w.link.lost != nil
	w.link.mu.Unlock()
	if taken {
		return nil
	}
	return w.link.proxy.takeDrop(text)
}
