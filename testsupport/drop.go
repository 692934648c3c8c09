package testsupport

import (
	"bytes"
	"net"
)

// drop is an order to lose one reply.
type drop struct {
	match    []byte
	happened chan struct{} // closed when the reply was lost
}

// lostReply is a drop that has found its request.
type lostReply struct {
	drop   *drop
	passed chan struct{} // closed when the whole chunk with the request has been written to the server
}

// DropNextReply loses the reply of the next request that contains match, on whichever connection it comes: the request
// reaches the server, the first bytes that the server sends afterwards are dropped, and the connection is closed. So
// the client cannot know whether its command was carried out, though it was. The returned channel is closed when that
// has happened. One call loses one reply; several calls wait side by side.
//
// Commands pass as the client wrote them, so "XADD" matches where the command's name is sent in capitals. On a
// connection that pipelines, answers to earlier commands may be lost along with it.
func (p *Proxy) DropNextReply(match string) <-chan struct{} {
	d := &drop{match: []byte(match), happened: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drops = append(p.drops, d)
	return d.happened
}

// takeDrop returns and removes the first order that text fulfils.
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

// longestMatch returns the length of the longest text that is waited for.
func (p *Proxy) longestMatch() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := 0
	for _, d := range p.drops {
		longest = max(longest, len(d.match))
	}
	return longest
}

// watcher forwards one link's requests and looks for the one whose reply is to be lost.
type watcher struct {
	link *link
	tail []byte // end of what has passed: a match may lie across two reads
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
	// Marked before the write, since the server may answer before Write returns here.
	lost := &lostReply{drop: d, passed: make(chan struct{})}
	w.link.mu.Lock()
	w.link.lost = lost
	w.link.mu.Unlock()
	ok := write(server, b)
	close(lost.passed)
	return ok
}

// take looks for one order at most: the link ends with the first reply that it loses.
func (w *watcher) take(text []byte) *drop {
	w.link.mu.Lock()
	taken := w.link.lost != nil
	w.link.mu.Unlock()
	if taken {
		return nil
	}
	return w.link.proxy.takeDrop(text)
}
