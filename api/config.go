package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/bus/caller"
)

// Config configures a gateway. Only RedisURL is required.
type Config struct {
	// RedisURL is the address of the bus: redis://, rediss:// (TLS),
	// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. Required.
	RedisURL string
	// Credentials authenticate the gateway to Redis, in addition to the URL. Defaults to
	// none.
	Credentials Credentials
	// Namespace is the prefix of all keys. Defaults to "mailroom".
	Namespace string
	// Auth says whether callers must authenticate. Defaults to AuthNone: every client may
	// call every action.
	Auth Auth
	// Tokens says which JSON Web Tokens are accepted, in addition to API keys. Defaults
	// to none.
	Tokens *Tokens
	// BodyLimit is the maximum size of a request body, in bytes. Defaults to 1 MiB.
	BodyLimit int
	// HeaderLimit is the maximum size of the request line and headers, in bytes, at least
	// 1024. Defaults to 32 KiB.
	HeaderLimit int
	// ReadTimeout bounds the time in which a client sends a request. Defaults to 10 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time in which a client reads a response. Defaults to 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is the time after which an idle connection is closed. Defaults to 2 min.
	IdleTimeout time.Duration
	// DrainDelay is how long the gateway still serves after it is told to stop, while /readyz
	// answers 503: load balancers need that time to notice. Defaults to 0.
	DrainDelay time.Duration
	// DrainLimit bounds the time for the requests in flight when the gateway stops.
	// Defaults to 20 s.
	DrainLimit time.Duration
	// MailboxLimit is the maximum number of requests that wait for one service. Defaults
	// to 100,000.
	MailboxLimit int64
	// StoredLimit bounds the bytes that requests and their outcomes take in Redis for one
	// service. One principal may have a quarter of it, and all of it while no other has any; more
	// is refused with STORAGE_LIMITED. Negative: no limit. Defaults to 40 % of maxmemory, and
	// without maxmemory to no limit.
	StoredLimit int64
	// AdmitLate also sends requests that no worker can reach before their deadline, at
	// the measured rate. Defaults to false: they are refused.
	AdmitLate bool
	// MinReplicas is the number of Redis replicas that must hold the outcome of an unsafe
	// request before it is answered, or AllReplicas. While fewer are connected, unsafe requests
	// are refused with UNAVAILABLE. Defaults to 0.
	MinReplicas int
	// CacheRedisURL is the address of the Redis of the shared cache. Defaults to the
	// Redis of the bus.
	CacheRedisURL string
	// CacheCredentials authenticate the gateway to that Redis. Defaults to none.
	CacheCredentials Credentials
	// CacheTimeout bounds the time of a cache lookup; after it a call bypasses the cache.
	// Defaults to 250 ms.
	CacheTimeout time.Duration
	// LocalBytes bounds the memory for local cache entries, in bytes; a negative number
	// keeps none. Defaults to 64 MiB.
	LocalBytes int64
	// NoCacheRate bounds how often one principal, or one address of anonymous callers, may
	// bypass or refresh cached answers by Cache-Control at this gateway; beyond it the header
	// is ignored. A negative Count always ignores it. Defaults to 10 a second.
	NoCacheRate Rate
	// MaxConnections is the maximum number of open client connections. Above it only probes
	// are answered.
	// Defaults to the limit of open files of the process, less a reserve.
	MaxConnections int
	// AddressConnections is the maximum number of open connections of one client address,
	// or of one IPv6 network of 64 bits; more are closed. TrustedProxies have no such bound.
	// Defaults to half of MaxConnections, at least 64.
	AddressConnections int
	// StreamLife is the maximum life of a stream of events; its client connects again, with
	// Last-Event-ID. Defaults to 5 min.
	StreamLife time.Duration
	// Streams is the maximum number of streams of events of one principal, or of one address
	// of anonymous callers, at this gateway. Defaults to 64.
	Streams int
	// InFlight is the maximum number of calls of one service in flight at this gateway.
	// Defaults to 4096.
	InFlight int64
	// Limits bound how often requests may come. Defaults to none.
	Limits []LimitRule
	// LimitTimeout bounds the time in which Redis counts a request; after it this gateway
	// counts for itself for 500 ms. Defaults to 50 ms.
	LimitTimeout time.Duration
	// Sizes bound the messages of single routes. Defaults to none.
	Sizes []SizeRule
	// CORS allows pages of other origins to call. Defaults to none.
	CORS CORS
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For is trusted.
	// Defaults to none.
	TrustedProxies []netip.Prefix
	// TLSCert and TLSKey are the PEM files of a certificate and its key, which are read
	// again when they change. Defaults to plain HTTP.
	TLSCert, TLSKey string
	// VersionsFile defines the versions of the API; see package versions. It is read again
	// when it changes. Defaults to none.
	VersionsFile string
	// Versions is the text of a versions file in place of VersionsFile. Defaults to none.
	Versions []byte
	// IdleLimit is the time without a heartbeat after which another gateway continues a
	// composition; the same for all gateways. Defaults to 3 s.
	IdleLimit time.Duration
	// SocketInFlight is the maximum number of unanswered requests of one WebSocket.
	// Defaults to 1024.
	SocketInFlight int
	// History is the number of compositions, and of requests of each service on a socket,
	// that are kept for operators; see workers.Config. Defaults to 1000.
	History int
	// HideWorker omits the headers Mailroom-Worker and Mailroom-Attempt.
	// Defaults to false.
	HideWorker bool
	// Console serves the console of operators at /console on the gateway itself too, for
	// API keys with the scope console:read. Defaults to false: only Server.Ops has it.
	Console bool
	// Masks hide members of arguments and outcomes in the console; see ParseMask. Defaults
	// to none.
	Masks []Mask
	// OwnOps serves the pages of Server.Ops on the gateway itself too, and opens the
	// console without a login to requests for a loopback address. It is for development.
	// Defaults to false.
	OwnOps bool
	// AccessLog is the maximum number of answered requests that are logged in a second.
	// Defaults to 0: none is.
	AccessLog int
	// PublicDocs serves /openapi.json and /docs to callers without a credential. Defaults to
	// false: with AuthRequired they need one.
	PublicDocs bool
	// Logger receives the log. Defaults to that of the connection to the bus.
	Logger *slog.Logger
}

// ruled returns the routes that limits and sizes name.
func (c *Config) ruled() []string {
	routes := make([]string, 0, len(c.Limits)+len(c.Sizes))
	for i := range c.Limits {
		routes = append(routes, c.Limits[i].Route)
	}
	for i := range c.Sizes {
		routes = append(routes, c.Sizes[i].Route)
	}
	return routes
}

// setDefaults sets the defaults and returns every fault of the config.
func (c *Config) setDefaults() error {
	durations := []struct {
		name  string
		value *time.Duration
		or    time.Duration
	}{
		{"read timeout", &c.ReadTimeout, 10 * time.Second},
		{"write timeout", &c.WriteTimeout, 30 * time.Second},
		{"idle timeout", &c.IdleTimeout, 2 * time.Minute},
		{"cache timeout", &c.CacheTimeout, 250 * time.Millisecond},
		{"limit timeout", &c.LimitTimeout, 50 * time.Millisecond},
		{"stream life", &c.StreamLife, 5 * time.Minute},
		{"drain delay", &c.DrainDelay, 0},
		{"drain limit", &c.DrainLimit, 20 * time.Second},
	}
	var errs []error
	if c.Auth == "" {
		c.Auth = AuthNone
	}
	errs = append(errs, c.Auth.Check())
	if c.Tokens != nil {
		errs = append(errs, c.Tokens.Check())
	}
	for _, d := range durations {
		if *d.value == 0 {
			*d.value = d.or
		}
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", d.name, *d.value))
		}
	}
	errs = append(errs, c.setNumbers()...)
	if c.CORS.MaxAge == 0 {
		c.CORS.MaxAge = 10 * time.Minute
	}
	errs = append(errs, c.CORS.Check())
	for i := range c.Limits {
		errs = append(errs, c.Limits[i].Check())
	}
	for i, rule := range c.Sizes {
		if slices.ContainsFunc(c.Sizes[:i], func(other SizeRule) bool { return other.Route == rule.Route }) {
			errs = append(errs, fmt.Errorf("size limit of %s is given twice", rule.Route))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("a TLS certificate needs its key and a key its certificate: one of the two is missing"))
	}
	return errors.Join(errs...)
}

// AllReplicas as Config.MinReplicas stands for all replicas that are connected to the master,
// and at least one.
const AllReplicas = caller.AllReplicas

// setNumbers sets the defaults of the numbers and returns their faults.
func (c *Config) setNumbers() (errs []error) {
	if c.MaxConnections == 0 {
		c.MaxConnections = edge.MaxConnections()
	}
	if c.InFlight == 0 {
		c.InFlight = 4096
	}
	for _, n := range []struct {
		name  string
		value *int
		or    int
	}{
		{"body limit", &c.BodyLimit, 1 << 20},
		{"header limit", &c.HeaderLimit, 32 << 10},
		{"max connections", &c.MaxConnections, 0},
		{"address connections", &c.AddressConnections, max(64, c.MaxConnections/2)},
		{"streams", &c.Streams, 64},
		{"access log", &c.AccessLog, 0},
		{"socket in flight", &c.SocketInFlight, 1024},
	} {
		if *n.value == 0 {
			*n.value = n.or
		}
		if *n.value < 0 {
			errs = append(errs, fmt.Errorf("%s %d is negative", n.name, *n.value))
		}
	}
	for name, n := range map[string]int64{"mailbox limit": c.MailboxLimit, "in flight": c.InFlight} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s %d is negative", name, n))
		}
	}
	if c.MinReplicas < 0 && c.MinReplicas != AllReplicas {
		errs = append(errs, fmt.Errorf("min replicas %d is negative", c.MinReplicas))
	}
	if c.HeaderLimit < 1<<10 {
		errs = append(errs, fmt.Errorf("header limit %d is below 1024", c.HeaderLimit))
	}
	if c.NoCacheRate == (Rate{}) {
		c.NoCacheRate = Rate{Count: 10, Period: time.Second, Burst: 10}
	}
	if c.NoCacheRate.Count >= 0 {
		errs = append(errs, named("no-cache rate", c.NoCacheRate.Check()))
	}
	return errs
}

// named adds the name of a field to its fault.
func named(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}
