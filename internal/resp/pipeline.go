package resp

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options of a Pipeline. All but Limits are required.
type Options struct {
	// Client is the library's client: of one server, or of a cluster, whose masters
	// it knows.
	Client redis.Cmdable
	// Open returns a client with one connection to the server that Client leads to.
	// The pipeline closes it. Not used on a cluster.
	Open func() *redis.Client
	// Hook is added to the clients that the pipeline opens to masters of a cluster.
	Hook redis.Hook
	// Explain turns an error of Redis into one that says what to do.
	Explain func(err error, command ...any) error
	// Timeout bounds connecting in Prepare.
	Timeout time.Duration
	// Limits bound each answer. Defaults to no bounds but those of the protocol.
	Limits Limits
}

// Pipeline sends commands from one goroutine: over one connection, or on a
// cluster over one to each master that it has sent to.
type Pipeline struct {
	explain func(err error, command ...any) error
	timeout time.Duration
	limits  Limits
	cluster masters                     // nil: one server
	open    func(address string) server // on a cluster after cluster.of
	conns   map[string]*Conn            // by address; of one server by ""
}

// NewPipeline returns a pipeline without a connection. Close it.
func NewPipeline(opts Options) *Pipeline {
	p := &Pipeline{
		explain: opts.Explain, timeout: opts.Timeout, limits: opts.Limits, conns: make(map[string]*Conn),
		open: func(string) server { return newServer(opts.Open()) },
	}
	if cluster, ok := opts.Client.(*redis.ClusterClient); ok {
		m := &libraryMasters{cluster: cluster, hook: opts.Hook}
		p.cluster, p.open = m, m.open
	}
	return p
}

// Prepare connects to a single server ahead of the first command. When that
// fails, the first command tries again.
func (p *Pipeline) Prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if p.cluster == nil {
		_, _ = p.connTo(ctx, "")
	}
}

// Close closes all connections.
func (p *Pipeline) Close() {
	for _, c := range p.conns {
		c.close()
	}
}

// Conn returns an open connection to the master that holds a key. After an error
// nothing was sent.
func (p *Pipeline) Conn(ctx context.Context, key string) (*Conn, error) {
	if p.cluster == nil {
		return p.connTo(ctx, "")
	}
	address, err := p.cluster.of(ctx, key)
	if err != nil {
		return nil, err
	}
	return p.connTo(ctx, address)
}

// connTo returns an open connection to an address.
func (p *Pipeline) connTo(ctx context.Context, address string) (*Conn, error) {
	c := p.conns[address]
	if c == nil {
		p.closeUnused()
		c = &Conn{server: p.open(address), Limits: p.limits}
		p.conns[address] = c
	}
	err := c.open(ctx)
	if err != nil {
		p.ReloadCluster(ctx)
	}
	return c, p.explain(err)
}

// unusedLimit is how long a connection may be unused before it is closed: its
// server may have left the cluster.
const unusedLimit = time.Minute

func (p *Pipeline) closeUnused() {
	for address, c := range p.conns {
		if time.Since(c.used) > unusedLimit {
			c.close()
			delete(p.conns, address)
		}
	}
}

// ReloadCluster has the client library look for the masters of a cluster again.
func (p *Pipeline) ReloadCluster(ctx context.Context) {
	if p.cluster != nil {
		p.cluster.reload(ctx)
	}
}

// Exchange sends the commands in each connection's Out, empties it, and waits for
// the answers: see Conn.Answers. Commands that a cluster redirects are sent again.
func (p *Pipeline) Exchange(ctx context.Context, timeout time.Duration) {
	for _, c := range p.conns {
		if c.answers, c.err = c.answers[:0], nil; c.Out.Len() > 0 {
			c.err = c.Send(timeout)
		}
	}
	var again []redirected
	for _, c := range p.conns {
		if c.Out.Len() > 0 && c.err == nil {
			c.answers, c.err = c.Receive(c.Out.Len(), timeout)
			again = c.redirected(again)
			c.stale = c.stale || c.from < len(c.in) // more answers than commands
		}
		if c.err != nil {
			p.ReloadCluster(ctx)
		}
		c.Out.Reset()
	}
	for _, r := range again {
		answer, err := p.Follow(ctx, r.command, r.from.answers[r.at], timeout)
		if err != nil {
			r.from.err = err // the fate of the command is unknown
			continue
		}
		r.from.answers[r.at] = answer
	}
}

// redirected is a command that a server of a cluster did not run: another one
// holds the key, now or soon.
type redirected struct {
	from    *Conn
	at      int // in its answers
	command []byte
}

func (c *Conn) redirected(all []redirected) []redirected {
	for i, answer := range c.answers {
		if strings.HasPrefix(answer, "-MOVED ") || strings.HasPrefix(answer, "-ASK ") {
			all = append(all, redirected{from: c, at: i, command: slices.Clone(c.Out.at(i))})
		}
	}
	return all
}

// maxRedirections is how often one command is redirected.
const maxRedirections = 3

// Follow sends a command again as long as its answer is a redirection, and returns
// the last answer
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func (p *Pipeline) Follow(ctx context.Context, command []byte, answer string, timeout time.Duration) (string, error) {
	for range maxRedirections {
		next, err := p.redirect(ctx, command, answer, timeout)
		if err != nil || next == "" {
			return answer, err
		}
		answer = next
	}
	return answer, nil
}

// redirect sends a command to the server that an answer names. It returns nothing
// where the answer is no redirection, or that server cannot be reached; after an
// error the command may have been sent.
func (p *Pipeline) redirect(ctx context.Context, command []byte, answer string, timeout time.Duration) (string, error) {
	words := strings.Fields(answer)
	if p.cluster == nil || len(words) != 3 || words[0] != "-MOVED" && words[0] != "-ASK" {
		return "", nil
	}
	p.ReloadCluster(ctx)
	c, err := p.connTo(ctx, words[2])
	if err != nil {
		return "", nil //nolint:nilerr // nothing was sent: the redirection stays the answer
	}
	return c.Do(timeout, func(out *Commands) {
		if words[0] == "-ASK" {
			out.Add("asking")
		}
		out.Copy(command)
	})
}
