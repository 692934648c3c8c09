package bus

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is one connection to Redis for one goroutine: what goes out was written into
// out, what comes in is cut where an answer ends, and nothing is made in between. A
// request's way is made of links; all else asks the client library.
//
// The library opens the connection, so that users, passwords, TLS, databases and
// Sentinel are its business, and then keeps its hands off it.
type link struct {
	client *redis.Client
	dialed dialed
	held   *redis.Conn // takes the connection out of the library's pool
	conn   net.Conn    // nil: not connected
	out    commands

	in    []byte // what came; from is where that begins which nobody has taken
	from  int
	ends  []int    // of answers, in in
	taken []string // the answers of the last exchange

	used              time.Time
	stale             bool      // it is to be made anew: its server is a master no more
	readEnd, writeEnd time.Time // the deadlines that are set
	err               error     // of the last exchange
}

// dialed keeps the connection that a client has made last.
type dialed struct {
	mu   sync.Mutex
	conn net.Conn
}

// DialHook keeps what was dialed.
func (d *dialed) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			d.mu.Lock()
			d.conn = conn
			d.mu.Unlock()
		}
		return conn, err
	}
}

// ProcessHook leaves commands as they are.
func (*dialed) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook leaves pipelines as they are.
func (*dialed) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *dialed) last() net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

// newLink prepares a link to the server; of a cluster to the one at an address, by the
// ways of a client that leads to another one of them.
func (c *Conn) newLink(address string, like *redis.Client) *link {
	l := &link{}
	if like != nil {
		o := *like.Options()
		o.Addr, o.PoolSize, o.MinIdleConns = address, 1, 0
		l.client = redis.NewClient(&o)
		l.client.AddHook(c.door)
	} else {
		l.client, _ = c.newClient(1).(*redis.Client) // what is no cluster is one
	}
	l.client.AddHook(&l.dialed)
	return l
}

// restless is after how long without use a connection is looked at before it is used:
// the server, or something between, may have closed it.
const restless = 5 * time.Millisecond

// open connects, where the link is not. With an error nothing has been sent.
func (l *link) open(ctx context.Context) error {
	if l.conn != nil && (l.stale || time.Since(l.used) > restless && l.closed()) {
		l.drop()
	}
	if l.conn != nil {
		return nil
	}
	held := l.client.EphemeralConn()
	if err := held.Ping(ctx).Err(); err != nil {
		_ = held.Close()
		return err
	}
	l.held, l.conn, l.used, l.stale = held, l.dialed.last(), time.Now(), false
	l.in, l.from = l.in[:0], 0
	l.readEnd, l.writeEnd = time.Time{}, time.Time{}
	return nil
}

// closed reports that the other side has closed the connection.
func (l *link) closed() bool {
	l.readEnd = time.Time{} // a deadline that has passed would look like it
	return l.conn.SetReadDeadline(l.readEnd) != nil || isClosed(l.conn)
}

// drop ends the connection: what comes next on it is not known.
func (l *link) drop() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
	if l.held != nil {
		_ = l.held.Close()
		l.held = nil
	}
}

func (l *link) close() {
	l.drop()
	_ = l.client.Close()
}

// until sets a deadline, but not for each exchange: it may be an eighth late.
func until(end *time.Time, now time.Time, patience time.Duration, set func(time.Time) error) error {
	slack := patience / 8
	if early := end.Sub(now) - patience; early >= 0 && early <= slack {
		return nil
	}
	*end = now.Add(patience + slack)
	return set(*end)
}

// send writes what is in out, which stays there.
func (l *link) send(patience time.Duration) error {
	if l.conn == nil { // it was lost while out was written
		return &NotSentError{Cause: net.ErrClosed}
	}
	l.used = time.Now()
	err := until(&l.writeEnd, l.used, patience, l.conn.SetWriteDeadline)
	if err == nil {
		_, err = l.conn.Write(l.out.buf)
	}
	if err != nil {
		l.drop()
	}
	return err
}

// receive waits for so many answers, and gives each as it came: see resp. They are
// valid until the next call; their text is for ever.
func (l *link) receive(n int, patience time.Duration) ([]string, error) {
	err := until(&l.readEnd, time.Now(), patience, l.conn.SetReadDeadline)
	l.ends = l.ends[:0]
	for at := 0; err == nil && len(l.ends) < n; {
		at, err = l.answer(at)
		l.ends = append(l.ends, at)
	}
	l.used = time.Now()
	if err != nil {
		l.drop()
		return nil, err
	}
	text, begin := string(l.in[l.from:l.from+l.ends[n-1]]), 0
	l.taken = l.taken[:0]
	for _, end := range l.ends {
		l.taken = append(l.taken, text[begin:end])
		l.stale = l.stale || strings.HasPrefix(text[begin:end], "-READONLY ")
		begin = end
	}
	if l.from += len(text); l.from == len(l.in) {
		if l.in, l.from = l.in[:0], 0; cap(l.in) > most {
			l.in = nil
		}
	}
	return l.taken, nil
}

// mostAnswer is how long a string or a list may be: longer ones Redis never gives.
const mostAnswer = 1 << 30

// answer finds the end of the answer that begins there, counted from what nobody has
// taken, and reads until it has come.
func (l *link) answer(at int) (int, error) {
	for values := 1; values > 0; values-- {
		end := bytes.IndexByte(l.in[l.from+at:], '\n')
		for end < 0 {
			if err := l.fill(); err != nil {
				return 0, err
			}
			end = bytes.IndexByte(l.in[l.from+at:], '\n')
		}
		if end < 2 {
			return 0, errProtocol
		}
		line := l.in[l.from+at : l.from+at+end-1]
		at += end + 1
		if line[0] != '*' && line[0] != '$' {
			continue
		}
		n, err := strconv.Atoi(string(line[1:]))
		switch {
		case err != nil || n < -1 || n > mostAnswer:
			return 0, errProtocol
		case line[0] == '*':
			values += max(n, 0)
		case n >= 0:
			for at += n + 2; len(l.in)-l.from < at; {
				if err := l.fill(); err != nil {
					return 0, err
				}
			}
		}
	}
	return at, nil
}

// room is how much is read at once at least.
const room = 4 << 10

// fill reads more. Where there is no room, what has been taken is thrown away first, so
// that each byte is moved a few times at most; a buffer that something long has left
// behind is given back.
func (l *link) fill() error {
	if cap(l.in)-len(l.in) < room {
		rest := l.in[l.from:]
		if size := 2*len(rest) + 2*room; size > cap(l.in) || size < most && most < cap(l.in) {
			l.in = append(make([]byte, 0, size), rest...)
		} else {
			l.in = l.in[:copy(l.in, rest)]
		}
		l.from = 0
	}
	n, err := l.conn.Read(l.in[len(l.in):cap(l.in)])
	l.in = l.in[:len(l.in)+n]
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	default:
		return fmt.Errorf("read from Redis: %w", err)
	}
}

// ask sends commands beside an exchange whose answers stay, and gives the answer to the
// last of them.
func (l *link) ask(patience time.Duration, write func(*commands)) (string, error) {
	taken := l.taken
	l.taken = nil
	defer func() { l.taken = taken }()
	write(&l.out)
	sent := l.out.count()
	err := l.send(patience)
	l.out.reset()
	if err != nil {
		return "", err
	}
	answers, err := l.receive(sent, patience)
	if err != nil {
		return "", err
	}
	return answers[sent-1], nil
}
