package testsupport

import (
	"bytes"
	"net"
	"sync"
	"time"
)

const (
	chunkSize  = 32 << 10
	chunksHeld = 256 // per delayed direction; more block the sender, like a full socket
)

// link is one proxied connection. It has a pump for each direction; they end together.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	done           chan struct{}
	closing        sync.Once

	mu   sync.Mutex
	lost *lostReply // not nil: the next reply is lost
}

// chunk holds the bytes of one read, and the time at which they are forwarded.
type chunk struct {
	bytes []byte
	due   time.Time
}

func newLink(p *Proxy, client, server net.Conn) *link {
	return &link{proxy: p, client: client, server: server, done: make(chan struct{})}
}

func (l *link) close() {
	l.closing.Do(func() {
		close(l.done)
		_ = l.client.Close() // an error changes nothing: both ends are given up
		_ = l.server.Close()
	})
}

// run forwards bytes until both directions have ended and both connections are closed.
func (l *link) run() {
	watch := &watcher{link: l}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		l.pump(l.client, func(b []byte) bool { return watch.forward(b, l.server) },
			func(f faults) (bool, <-chan struct{}) { return f.swallowRequests, nil })
	})
	pumps.Go(func() {
		l.pump(l.server, l.forwardReply, func(f faults) (bool, <-chan struct{}) { return f.swallowReplies, f.held })
	})
	pumps.Wait()
}

// pump reads from one side until it ends, and passes each chunk to forward when it is due. It reads the next chunk during
// the delay, so that a delay adds latency but does not reduce throughput.
func (l *link) pump(from net.Conn, forward func([]byte) bool, broken func(faults) (swallows bool, held <-chan struct{})) {
	defer l.close()
	held := make(chan chunk, chunksHeld)
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(held)
	writer.Go(func() {
		defer l.close()
		for c := range held {
			if !l.sleepUntil(c.due) || !forward(c.bytes) {
				return
			}
		}
	})
	silent := false
	buffer := make([]byte, chunkSize)
	for {
		if _, holds := broken(l.proxy.now()); holds != nil {
			select {
			case <-holds:
			case <-l.done:
				return
			}
		}
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		now := l.proxy.now()
		swallows, _ := broken(now)
		if silent = silent || swallows; silent {
			continue
		}
		select {
		case held <- chunk{bytes: bytes.Clone(buffer[:n]), due: time.Now().Add(now.delay)}:
		case <-l.done:
			return
		}
	}
}

func (l *link) forwardReply(b []byte) bool {
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	if lost == nil {
		return write(l.client, b)
	}
	// The reply may belong to an earlier request: wait until the matching one has reached the server.
	select {
	case <-lost.passed:
		l.close()
		close(lost.drop.happened)
	case <-l.done:
	}
	return false
}

// sleepUntil waits until due; it returns false if the link ends first.
func (l *link) sleepUntil(due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

func write(to net.Conn, b []byte) bool {
	_, err := to.Write(b)
	return err == nil
}
