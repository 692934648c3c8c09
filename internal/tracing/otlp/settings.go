package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// defaultTimeout bounds one export, with its retries.
const defaultTimeout = 10 * time.Second

// defaultEndpoint is used where OTEL_TRACES_EXPORTER asks for otlp and no endpoint is set.
const defaultEndpoint = "http://localhost:4318"

// settings say where and how spans are exported.
type settings struct {
	url     string
	headers http.Header
	timeout time.Duration
	gzip    bool
	tls     *tls.Config // nil: the defaults
}

// environment reads the variables of OTLP and collects their faults.
type environment struct {
	getenv func(string) string
	faults []error
}

// readSettings reads the environment. It returns nil if no spans are to be exported.
func readSettings(getenv func(string) string) (*settings, error) {
	e := &environment{getenv: getenv}
	if strings.EqualFold(e.get("OTEL_SDK_DISABLED"), "true") {
		return nil, nil //nolint:nilnil // no spans, and no fault
	}
	endpoint, exact := e.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), true
	if endpoint == "" {
		endpoint, exact = e.get("OTEL_EXPORTER_OTLP_ENDPOINT"), false
	}
	switch exporter := e.get("OTEL_TRACES_EXPORTER"); {
	case exporter == "none", exporter == "" && endpoint == "":
		return nil, nil //nolint:nilnil // likewise
	case exporter != "" && exporter != "otlp":
		e.fault("OTEL_TRACES_EXPORTER", exporter, "want otlp or none")
	case endpoint == "":
		endpoint = defaultEndpoint
	}
	s := &settings{timeout: defaultTimeout, url: e.url(endpoint, exact), headers: e.headers()}
	if name, protocol := e.otlp("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		e.fault(name, protocol, "only http/protobuf is spoken; collectors take it on port 4318")
	}
	if name, text := e.otlp("TIMEOUT"); text != "" {
		ms, err := strconv.ParseUint(text, 10, 31)
		if err != nil || ms == 0 {
			e.fault(name, text, "want a positive number of milliseconds")
		}
		s.timeout = time.Duration(ms) * time.Millisecond
	}
	switch name, text := e.otlp("COMPRESSION"); text {
	case "gzip":
		s.gzip = true
	case "", "none":
	default:
		e.fault(name, text, "want gzip or none")
	}
	s.tls = e.tls()
	return s, errors.Join(e.faults...)
}

func (e *environment) get(name string) string { return strings.TrimSpace(e.getenv(name)) }

// otlp returns the name and value of a variable for traces, or of the one for all signals.
func (e *environment) otlp(option string) (name, value string) {
	name = "OTEL_EXPORTER_OTLP_TRACES_" + option
	if value = e.get(name); value == "" {
		name = "OTEL_EXPORTER_OTLP_" + option
		value = e.get(name)
	}
	return name, value
}

func (e *environment) fault(name, value, wanted string) {
	e.faults = append(e.faults, fmt.Errorf("%s: %.100q: %s", name, value, wanted))
}

// url returns the address of the collector. The endpoint of traces is used as it is; that
// of all signals is the base of it.
func (e *environment) url(endpoint string, exact bool) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		name := "OTEL_EXPORTER_OTLP_ENDPOINT"
		if exact {
			name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
		}
		// The value may hold a password, and so may the error.
		e.faults = append(e.faults, fmt.Errorf("%s: want an URL such as %s", name, defaultEndpoint))
		return ""
	}
	if !exact {
		u = u.JoinPath("v1", "traces")
	}
	return u.String()
}

// headers returns the headers of each export: name=value pairs with percent-encoded values,
// separated by commas. An error does not repeat a value, which may be secret.
func (e *environment) headers() http.Header {
	headers := make(http.Header)
	name, text := e.otlp("HEADERS")
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		header, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		header = strings.TrimSpace(header)
		if !found || err != nil || header == "" || strings.ContainsAny(header+value, "\r\n\x00") || strings.ContainsAny(header, " :") {
			e.faults = append(e.faults, fmt.Errorf("%s: want name=value pairs, separated by commas, with percent-encoded values", name))
			return headers
		}
		headers.Add(header, value)
	}
	return headers
}

// tls returns the certificates for an https endpoint.
func (e *environment) tls() *tls.Config {
	caName, ca := e.otlp("CERTIFICATE")
	certName, cert := e.otlp("CLIENT_CERTIFICATE")
	_, key := e.otlp("CLIENT_KEY")
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca) //nolint:gosec // the operator names it
		config.RootCAs = x509.NewCertPool()
		if err != nil || !config.RootCAs.AppendCertsFromPEM(pem) {
			e.fault(caName, ca, "want a PEM file with certificates")
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			e.fault(certName, cert, "want a PEM file with a certificate, and its key in CLIENT_KEY")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}
