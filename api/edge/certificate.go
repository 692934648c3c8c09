package edge

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAtCertificate is how often a certificate's files are looked at, at most.
const lookAtCertificate = time.Second

// certificate is what the gateway shows its clients. It is read again when its
// files change, so that a renewed one needs no restart.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	looked  time.Time
	stamps  [2]fileStamp // of what was read, or tried, last
	missing bool         // the files could not be looked at, which has been logged
	current *tls.Certificate
}

// fileStamp tells whether a file is still the one that was read.
type fileStamp struct {
	modified time.Time
	size     int64
}

// newCertificate reads the PEM files of a certificate, with its chain, and of its key.
func NewCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	c.looked = c.now()
	var err error
	if c.stamps, err = c.stamp(); err == nil {
		c.current, err = c.load()
	}
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return c, nil
}

func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func (c *Certificate) stamp() (stamps [2]fileStamp, err error) {
	for i, name := range [...]string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(name)
		if statErr != nil {
			return stamps, statErr
		}
		stamps[i] = fileStamp{modified: info.ModTime(), size: info.Size()}
	}
	return stamps, nil
}

// get is called for each handshake. What cannot be read leaves the certificate
// that there was in its place: the two files of a new one may come one by one.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.looked) < lookAtCertificate {
		return c.current, nil
	}
	c.looked = now
	stamps, err := c.stamp()
	told := c.missing
	if c.missing = err != nil; err == nil && stamps != c.stamps {
		c.stamps, told = stamps, false
		var renewed *tls.Certificate
		if renewed, err = c.load(); err == nil {
			c.current = renewed
			c.log.Info("the TLS certificate was read again", "file", c.certFile, "valid_until", renewed.Leaf.NotAfter)
		}
	}
	if err != nil && !told {
		c.log.Warn("the TLS certificate cannot be read again, showing the one before", "file", c.certFile, "error", err)
	}
	return c.current, nil
}

// config is how the gateway speaks TLS: 1.2 or newer (RFC 9325), and HTTP/1.1 within it.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}
