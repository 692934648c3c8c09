package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/oskadev/mailroom/api/edge"
)

// Config of a gateway. Only RedisURL is required.
type Config struct {
	// RedisURL is the address of the bus: redis://, rediss:// (TLS),
	// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. Required.
	RedisURL string
	// Credentials prove who the gateway is, beside the URL. Defaults to none.
	Credentials Credentials
	// Namespace is the prefix of all keys. Defaults to "mailroom".
	Namespace string
	// Auth says whether callers have to say who they are. Defaults to AuthNone:
	// whoever reaches the gateway may call everything.
	Auth Auth
	// Tokens says which tokens are accepted beside API keys. Defaults to none.
	Tokens *Tokens
	// BodyLimit is the largest request body, in bytes. Defaults to 1 MiB.
	BodyLimit int
	// HeaderLimit is the most bytes that a request's line and headers may take.
	// Defaults to 32 KiB.
	HeaderLimit int
	// ReadTimeout is how long a client may take to send a request.
	// Defaults to 10 s.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take to read a response.
	// Defaults to 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may lie idle. Defaults to 2 min.
	IdleTimeout time.Duration
	// DrainLimit is how long calls in flight may take once the gateway has been
	// told to stop. Defaults to 20 s.
	DrainLimit time.Duration
	// MailboxLimit is how many requests may wait for one service before more
	// are refused. Defaults to bus.DefaultMailboxLimit.
	MailboxLimit int64
	// AdmitLate sends also requests whose deadline, by the measured rate, cannot
	// be met. Defaults to false: they are refused.
	AdmitLate bool
	// MinReplicas is how many replicas of Redis have to hold the outcome of an
	// unsafe request before its caller gets it. Defaults to 0.
	MinReplicas int
	// CacheRedisURL says where the shared cache is, if not on the bus' Redis.
	CacheRedisURL string
	// CacheCredentials prove there who the gateway is. Default to none.
	CacheCredentials Credentials
	// CacheTimeout is how long the cache may take to answer; then a call does
	// without. Defaults to 250 ms.
	CacheTimeout time.Duration
	// NearBytes bounds the copies of cached answers in this process; negative: none
	// are kept. Defaults to 64 MiB.
	NearBytes int64
	// MaxConnections is how many connections clients may have open; more are closed.
	// Defaults to what the process' limit of open files allows, but for some.
	MaxConnections int
	// InFlight is how many calls of one service may be in flight at this gateway before
	// more are refused. Defaults to 4096.
	InFlight int64
	// Limits say how often calls may come. Defaults to none.
	Limits []LimitRule
	// LimitTimeout is how long Redis may take to count a call; then this gateway
	// counts for itself for a moment. Defaults to 50 ms.
	LimitTimeout time.Duration
	// Sizes bound what goes through single routes. Defaults to none.
	Sizes []SizeRule
	// CORS lets pages of other origins call. Defaults to none.
	CORS CORS
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed.
	// Defaults to none.
	TrustedProxies []netip.Prefix
	// TLSCert and TLSKey are PEM files; with them the gateway serves HTTPS. They are
	// read again when they change.
	TLSCert, TLSKey string
	// VersionsFile says which versions of the API there are; see package versions. It is
	// read again when it changes. Versions is the same as a text, where there is no file.
	// Default to none.
	VersionsFile string
	Versions     []byte
	// IdleLimit is how long a composition may be without a sign of life from its gateway
	// before another goes on with it; the same for all gateways. Defaults to
	// bus.DefaultIdleLimit.
	IdleLimit time.Duration
	// HideWorker leaves out the headers Mailroom-Worker and Mailroom-Attempt.
	// Defaults to false.
	HideWorker bool
	// Logger defaults to the bus connection's.
	Logger *slog.Logger
}

// ruled lists the routes that limits and sizes name.
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

func (c *Config) setDefaults() error {
	orDefault := func(v *int, or int) {
		if *v == 0 {
			*v = or
		}
	}
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
	orDefault(&c.BodyLimit, 1<<20)
	orDefault(&c.HeaderLimit, 32<<10)
	if c.BodyLimit < 0 {
		errs = append(errs, fmt.Errorf("body limit %d is negative", c.BodyLimit))
	}
	if c.HeaderLimit < 1<<10 {
		errs = append(errs, fmt.Errorf("header limit %d is below 1024", c.HeaderLimit))
	}
	if c.MailboxLimit < 0 {
		errs = append(errs, fmt.Errorf("mailbox limit %d is negative", c.MailboxLimit))
	}
	orDefault(&c.MaxConnections, edge.MaxConnections())
	if c.MaxConnections < 0 {
		errs = append(errs, fmt.Errorf("max connections %d is negative", c.MaxConnections))
	}
	if c.InFlight == 0 {
		c.InFlight = 4096
	}
	if c.InFlight < 0 {
		errs = append(errs, fmt.Errorf("in flight %d is negative", c.InFlight))
	}
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
		errs = append(errs, errors.New("a TLS certificate and its key belong together: one of the two is missing"))
	}
	if c.MinReplicas < 0 {
		errs = append(errs, fmt.Errorf("min replicas %d is negative", c.MinReplicas))
	}
	return errors.Join(errs...)
}
