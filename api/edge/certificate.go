package edge

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateInterval is the minimum time between two checks of the files.
const certificateInterval = time.Second

// Certificate is the TLS certificate of the gateway. It is read again when its files
// change, so that a renewed one needs no restart.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	checked time.Time    // when the files were checked last
	stamps  [2]fileStamp // of the files that were read, or tried, last
	missing bool         // the files could not be checked, which has been logged
	current *tls.Certificate
}

// fileStamp identifies one version of a file.
type fileStamp struct {
	modified time.Time
	size     int64
}

// NewCertificate reads the PEM files of a certificate, with its chain, and of its key.
func NewCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	c.checked = c.now()
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

// get returns the certificate for a handshake. It keeps the current one while the files
// cannot be read: the two files of a new one may be written one after the other.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.checked) < certificateInterval {
		return c.current, nil
	}
	c.checked = now
	stamps, err := c.stamp()
	logged := c.missing
	if c.missing = err != nil; err == nil && stamps != c.stamps {
		c.stamps, logged = stamps, false
		var renewed *tls.Certificate
		if renewed, err = c.load(); err == nil {
			c.current = renewed
			c.log.Info("the TLS certificate was read again", "file", c.certFile, "valid_until", renewed.Leaf.NotAfter)
		}
	}
	if err != nil && !logged {
		c.log.Warn("the TLS certificate cannot be read again, keeping the current one", "file", c.certFile, "error", err)
	}
	return c.current, nil
}

// config returns the TLS settings: version 1.2 or newer (RFC 9325), HTTP/1.1.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}
