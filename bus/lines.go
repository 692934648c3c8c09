package bus

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// lines are the links of one goroutine: one, or on a cluster one to each master that
// it has sent to.
type lines struct {
	conn  *Conn
	links map[string]*link // by address; of what is no cluster by ""
}

func (c *Conn) newLines() *lines { return &lines{conn: c, links: make(map[string]*link)} }

// prepare connects before there is anything to send, where it is known whereto. If that
// fails, it is tried again when there is.
func (l *lines) prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.conn.timeout)
	defer cancel()
	if _, cluster := l.conn.rdb.(*redis.ClusterClient); !cluster {
		_, _ = l.at(ctx, "", nil)
	}
}

func (l *lines) close() {
	for _, k := range l.links {
		k.close()
	}
}

// to is an open link to the master that holds a key. With an error nothing has been
// sent.
func (l *lines) to(ctx context.Context, key string) (*link, error) {
	cluster, ok := l.conn.rdb.(*redis.ClusterClient)
	if !ok {
		return l.at(ctx, "", nil)
	}
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	return l.at(ctx, master.Options().Addr, master)
}

// at is the link to an address; like is how to connect there.
func (l *lines) at(ctx context.Context, address string, like *redis.Client) (*link, error) {
	k := l.links[address]
	if k == nil {
		l.forget()
		k = l.conn.newLink(address, like)
		l.links[address] = k
	}
	err := k.open(ctx)
	if err != nil {
		l.lost(ctx)
	}
	return k, l.conn.door.explain(err)
}

// forgotten is after how long without use the way to a server is forgotten: it may not be
// there any more.
const forgotten = time.Minute

// forget closes the links to servers that nothing has been sent to for long.
func (l *lines) forget() {
	for address, k := range l.links {
		if time.Since(k.used) > forgotten {
			k.close()
			delete(l.links, address)
		}
	}
}

// lost has the masters of a cluster looked for anew: the one that was lost may be
// replaced.
func (l *lines) lost(ctx context.Context) {
	if cluster, ok := l.conn.rdb.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// exchange sends what is in the links' out, and waits for the answers: each link's
// taken, or its err. It empties out.
func (l *lines) exchange(ctx context.Context, patience time.Duration) {
	for _, k := range l.links {
		if k.taken, k.err = k.taken[:0], nil; k.out.count() > 0 {
			k.err = k.send(patience)
		}
	}
	var again []redirected
	for _, k := range l.links {
		if k.out.count() > 0 && k.err == nil {
			k.taken, k.err = k.receive(k.out.count(), patience)
			again = k.redirected(again)
			k.stale = k.stale || k.from < len(k.in) // it says more than it was asked
		}
		if k.err != nil {
			l.lost(ctx)
		}
		k.out.reset()
	}
	if again != nil {
		l.redirect(ctx, again, patience)
	}
}

// redirected is a command that a server did not do: of a cluster another one holds the
// key, by now or in a moment.
type redirected struct {
	from    *link
	at      int // of its answers
	command []byte
}

// redirected finds the commands to send elsewhere.
func (l *link) redirected(all []redirected) []redirected {
	for i, answer := range l.taken {
		if strings.HasPrefix(answer, "-MOVED ") || strings.HasPrefix(answer, "-ASK ") {
			all = append(all, redirected{from: l, at: i, command: slices.Clone(l.out.at(i))})
		}
	}
	return all
}

// mostRedirections is how often a command is sent on.
const mostRedirections = 3

// redirect sends on what has to go elsewhere, in the place of its answer
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func (l *lines) redirect(ctx context.Context, all []redirected, patience time.Duration) {
	for _, r := range all {
		answer, err := l.follow(ctx, r.command, r.from.taken[r.at], patience)
		if err != nil {
			r.from.err = err // what became of it is not known
			continue
		}
		r.from.taken[r.at] = answer
	}
}

// follow sends a command on, as long as the answer says so, and gives the last one.
func (l *lines) follow(ctx context.Context, command []byte, answer string, patience time.Duration) (string, error) {
	for range mostRedirections {
		next, err := l.sendOn(ctx, command, answer, patience)
		if err != nil || next == "" {
			return answer, err
		}
		answer = next
	}
	return answer, nil
}

// sendOn sends a command where the answer says. It gives nothing where it says nothing
// of the kind, or nobody is there; an error says that it was sent, and no more.
func (l *lines) sendOn(ctx context.Context, command []byte, answer string, patience time.Duration) (string, error) {
	cluster, ok := l.conn.rdb.(*redis.ClusterClient)
	words := strings.Fields(answer)
	if !ok || len(words) != 3 || words[0] != "-MOVED" && words[0] != "-ASK" {
		return "", nil
	}
	cluster.ReloadState(ctx)
	var like *redis.Client
	for _, known := range l.links {
		like = known.client
	}
	k, err := l.at(ctx, words[2], like)
	if err != nil {
		return "", nil //nolint:nilerr // nothing was sent: that it has moved is the answer
	}
	return k.ask(patience, func(out *commands) {
		if words[0] == "-ASK" {
			out.add("asking")
		}
		out.copy(command)
	})
}
