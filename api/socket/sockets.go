package socket

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/internal/host"
)

// Defaults of Config.
const (
	defaultInFlight   = 1024
	defaultMaxMessage = 1 << 20
	defaultPing       = 25 * time.Second
	defaultAuthLimit  = 5 * time.Second
	defaultRecheck    = 10 * time.Second
)

// retryAfter is when clients of a gateway that stops may connect again.
const retryAfter = time.Second

// Config configures Sockets. Auth, Calls, Events, AllowOrigin, Host and Log are required.
type Config struct {
	// Auth authenticates peers.
	Auth Authenticator
	// Calls answers the calls of clients.
	Calls Caller
	// Events are what clients subscribe to.
	Events Events
	// Open reports that the gateway ignores credentials: clients need not send any.
	// Defaults to false.
	Open bool
	// AllowOrigin reports whether pages of an origin may open a socket.
	AllowOrigin func(origin string) bool
	// Host is the config of the hosts of workers.
	Host host.Config
	// InFlight is the number of requests of one socket that may be unanswered. Defaults
	// to 1024.
	InFlight int
	// MaxMessage is the maximum size of a received message, in bytes. Defaults to 1 MiB.
	MaxMessage int
	// Ping is the time between two pings of a socket. Defaults to 25 s.
	Ping time.Duration
	// AuthLimit is the time in which a peer has to authenticate. Defaults to 5 s.
	AuthLimit time.Duration
	// Recheck is the time between two checks that a credential is still accepted. The
	// credential of a client is also checked with each of its requests. Defaults to 10 s.
	Recheck time.Duration
	// Log receives messages for operators.
	Log *slog.Logger
}

// Sockets are the sockets of a gateway. It is safe for concurrent use.
type Sockets struct {
	cfg      Config
	draining context.Context //nolint:containedctx // ends when the gateway stops
	drain    context.CancelFunc
	topics   topics
	pool     *pool

	mu   sync.Mutex
	open sync.WaitGroup

	clients, workers atomic.Int64
}

// New returns the sockets of a gateway. Drain them before what they use closes.
func New(cfg Config) *Sockets {
	setDefault(&cfg.InFlight, defaultInFlight)
	setDefault(&cfg.MaxMessage, defaultMaxMessage)
	setDefault(&cfg.Ping, defaultPing)
	setDefault(&cfg.AuthLimit, defaultAuthLimit)
	setDefault(&cfg.Recheck, defaultRecheck)
	cfg.Host.DrainBye = &frames.Bye{Reason: frames.Drain, Retry: retryAfter}
	s := &Sockets{cfg: cfg, topics: topics{subscribers: make(map[topic]map[*subscription]struct{})}}
	s.pool = newPool()
	s.draining, s.drain = context.WithCancel(context.Background())
	return s
}

// Open returns the number of open sockets of clients and of workers. A socket that has not
// sent a frame counts as that of a client.
func (s *Sockets) Open() (clients, workers int) {
	return int(s.clients.Load()), int(s.workers.Load())
}

// setDefault sets a field that is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// enter counts a socket, or refuses it while the gateway stops.
func (s *Sockets) enter() *exchange.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		return exchange.Unavailable("the gateway is stopping")
	}
	s.open.Add(1)
	return nil
}

// hijacked returns the function that gets the connection of a socket. It returns at once:
// the HTTP library then frees its buffers, which are larger than those of a socket.
func (s *Sockets) hijacked(h Handshake) fasthttp.HijackHandler {
	return func(lent net.Conn) {
		raw := lent
		if own, ok := lent.(interface{ UnsafeConn() net.Conn }); ok {
			raw = own.UnsafeConn()
		}
		go func() {
			defer s.open.Done()
			_ = raw.SetDeadline(time.Time{})
			s.serve(newConn(raw, s.cfg.MaxMessage, s.cfg.Ping), h)
		}()
	}
}

// Drain opens no more sockets, finishes the requests in flight, says bye, and waits until
// all sockets are closed, or the context ends.
func (s *Sockets) Drain(ctx context.Context) {
	s.mu.Lock()
	s.drain()
	s.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.open.Wait()
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
	s.pool.close()
}
