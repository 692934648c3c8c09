package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/oskadev/mailroom/api"
)

// edgeFlags limit what a gateway admits.
type edgeFlags struct {
	Limit           []string      `sep:";" placeholder:"RULE" help:"Rate limits, separated by semicolons: RATE per principal, key, tenant, address or route [on METHOD /path] [burst N], such as \"5/m per address on POST /users\"."`
	SizeLimit       []string      `sep:";" placeholder:"RULE" help:"Size limits of single routes, separated by semicolons, such as \"POST /users request=64KiB response=1MiB\"."`
	MaxConnections  int           `placeholder:"N" help:"Maximum number of open client connections; more are closed (default: limit of open files - 256)."`
	InFlight        int64         `default:"4096" help:"Maximum number of calls of one service in flight at this gateway."`
	CORSOrigin      []string      `name:"cors-origin" placeholder:"ORIGIN" help:"Origins whose pages may call, such as https://app.example.com, https://*.example.com or *."`
	CORSCredentials bool          `name:"cors-credentials" help:"Let those pages send cookies and client certificates."`
	CORSMaxAge      time.Duration `name:"cors-max-age" default:"10m" help:"Time for which browsers may cache a preflight answer."`
	TrustedProxy    []string      `placeholder:"CIDR" help:"Networks of proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8."`
	TLSCert         string        `name:"tls-cert" placeholder:"FILE" help:"PEM file with the certificate chain for HTTPS; read again when it changes."`
	TLSKey          string        `name:"tls-key" placeholder:"FILE" help:"PEM file with the private key of that certificate."`
}

// apply sets the fields of a gateway's configuration. The error names all
// faults.
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
		errs = append(errs, fmt.Errorf("--in-flight: %d is not positive", f.InFlight))
	}
	return errors.Join(errs...)
}

func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// parseNetwork parses a CIDR, or an address as a network of one.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return address.Prefix(address.BitLen())
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Bits() == 0 || network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a valid proxy CIDR: give one such as 10.0.0.0/8, or an address", text)
	}
	return network.Masked(), nil
}
