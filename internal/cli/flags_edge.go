package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/oskadev/mailroom/api"
)

// edgeFlags say what a gateway lets in: how often, how much, from where.
type edgeFlags struct {
	Limit           []string      `sep:";" help:"How often calls may come: RATE per principal, key, tenant, address or route [on METHOD /path] [burst N], such as \"100/s per principal\" or \"5/m per address on POST /users\". Several: with semicolons." placeholder:"RULE"`
	SizeLimit       []string      `sep:";" help:"How large one route's bodies and answers may be, such as \"POST /users request=64KiB response=1MiB\". Several: with semicolons." placeholder:"RULE"`
	MaxConnections  int           `help:"Connections that clients may have open; more are closed. As many as the limit of open files allows unless given." placeholder:"N"`
	InFlight        int64         `default:"4096" help:"Calls of one service that may be in flight at this gateway."`
	CORSOrigin      []string      `name:"cors-origin" help:"Origins whose pages may call, such as https://app.example.com, https://*.example.com or *." placeholder:"ORIGIN"`
	CORSCredentials bool          `name:"cors-credentials" help:"Let those pages send cookies and client certificates along."`
	CORSMaxAge      time.Duration `name:"cors-max-age" default:"10m" help:"How long browsers may remember what is allowed."`
	TrustedProxy    []string      `help:"Networks of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8." placeholder:"CIDR"`
	TLSCert         string        `name:"tls-cert" help:"PEM file with the certificate and its chain: the gateway serves HTTPS. Read again when it changes." placeholder:"FILE"`
	TLSKey          string        `name:"tls-key" help:"PEM file with the certificate's key." placeholder:"FILE"`
}

// apply fills in a gateway's configuration; the error tells all faults.
func (f *edgeFlags) apply(cfg *api.Config) error {
	var errs []error
	for _, text := range f.Limit {
		rule, err := api.ParseLimit(text)
		errs = append(errs, named("--limit", err))
		cfg.Limits = append(cfg.Limits, rule)
	}
	for _, text := range f.SizeLimit {
		rule, err := api.ParseSize(text)
		errs = append(errs, named("--size-limit", err))
		cfg.Sizes = append(cfg.Sizes, rule)
	}
	for _, text := range f.TrustedProxy {
		network, err := parseNetwork(text)
		errs = append(errs, named("--trusted-proxy", err))
		cfg.TrustedProxies = append(cfg.TrustedProxies, network)
	}
	cfg.MaxConnections = f.MaxConnections
	cfg.InFlight, cfg.TLSCert, cfg.TLSKey = f.InFlight, f.TLSCert, f.TLSKey
	cfg.CORS = api.CORS{Origins: f.CORSOrigin, Credentials: f.CORSCredentials, MaxAge: f.CORSMaxAge}
	if f.InFlight < 1 {
		errs = append(errs, fmt.Errorf("--in-flight: %d is not above 0", f.InFlight))
	}
	return errors.Join(errs...)
}

func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// parseNetwork reads a network, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return address.Prefix(address.BitLen())
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Bits() == 0 || network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no network of proxies: want one such as 10.0.0.0/8, or an address", text)
	}
	return network.Masked(), nil
}
