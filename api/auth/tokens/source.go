package tokens

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxJWKS bounds the size of a JWKS, in bytes; those of large providers have some KiB.
const maxJWKS = 1 << 20

// source loads keys.
type source interface {
	// load returns the keys; nil: they have not changed.
	load(ctx context.Context) (*keySet, error)
}

// parseJWKS returns the URL or the file name of a JWKS. It refuses http:// unless the
// host is on loopback: anybody on the network could replace the keys.
func parseJWKS(jwks string) (*url.URL, string, error) {
	if !strings.Contains(jwks, "://") {
		return nil, jwks, nil
	}
	u, err := url.Parse(jwks)
	if err != nil || u.Host == "" {
		return nil, "", errors.New("the JWKS is not a valid URL")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return nil, "", fmt.Errorf("the JWKS at %s: want https://, http:// on loopback, or a file", place(u))
	}
	return u, "", nil
}

// place returns a URL for logs: without the user and the query, which may hold a secret.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// newSource returns the source that the config names.
func (c *Config) newSource() (source, error) {
	if c.SecretFile != "" {
		return &file{name: c.SecretFile, read: func(text []byte) (*keySet, error) { return readSecret(text, c.Algorithms) }}, nil
	}
	u, name, err := parseJWKS(c.JWKS)
	if err != nil {
		return nil, err
	}
	read := func(text []byte) (*keySet, error) { return readJWKS(text, c.Logger) }
	if u == nil {
		return &file{name: name, read: read}, nil
	}
	return &endpoint{url: u, client: c.Client, read: read}, nil
}

// endpoint is a JWKS at a URL.
type endpoint struct {
	url    *url.URL
	client *http.Client
	read   func([]byte) (*keySet, error)
}

func (e *endpoint) load(ctx context.Context) (*keySet, error) {
	set, err := e.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch the JWKS at %s: %w", place(e.url), err)
	}
	return set, nil
}

func (e *endpoint) fetch(ctx context.Context) (*keySet, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := e.client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the URL, which may hold a password
		}
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered with status %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxJWKS {
		return nil, fmt.Errorf("the answer is over %d bytes", maxJWKS)
	}
	return e.read(text)
}

// file is a JWKS, or a secret, in a file.
type file struct {
	name    string
	read    func([]byte) (*keySet, error)
	changed time.Time // modification time when it was read last
	size    int64     // likewise
}

func (f *file) load(context.Context) (*keySet, error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return nil, err // the error names the file
	}
	if info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return nil, nil
	}
	text, err := os.ReadFile(f.name)
	if err != nil {
		return nil, err
	}
	set, err := f.read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	f.changed, f.size = info.ModTime(), info.Size()
	return set, nil
}

// readSecret returns the text of a file as the secret. It must be at least as long as the
// hash of each algorithm (https://www.rfc-editor.org/rfc/rfc7518#section-3.2).
func readSecret(text []byte, algorithms []string) (*keySet, error) {
	secret := bytes.TrimRight(text, "\r\n")
	for _, algorithm := range algorithms {
		want := crypto.SHA256.Size()
		switch algorithm {
		case "HS384":
			want = crypto.SHA384.Size()
		case "HS512":
			want = crypto.SHA512.Size()
		}
		if len(secret) < want {
			return nil, fmt.Errorf("a secret of %d bytes is too short for %s, which wants %d", len(secret), algorithm, want)
		}
	}
	return &keySet{secret: secret}, nil
}
