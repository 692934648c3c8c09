package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/testsupport"
)

// identity is a certificate in two files.
type identity struct{ cert, key string }

func newIdentity(t *testing.T) *identity {
	t.Helper()
	dir := t.TempDir()
	return &identity{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

// renew writes a new certificate and makes the client of a stage trust it.
func (i *identity) renew(t *testing.T, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(i.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	require.NoError(t, os.WriteFile(i.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// newTLSStage starts a gateway that serves HTTPS, and one worker of things.
func newTLSStage(t *testing.T, i *identity, roots *x509.CertPool) *stage {
	t.Helper()
	s := newGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) {
		c.TLSCert, c.TLSKey, c.ReadTimeout = i.cert, i.key, time.Second
	})
	s.scheme = "https://"
	s.trust(roots)
	s.work(s.things())
	testsupport.Eventually(t, patience, "the gateway is ready", func() bool {
		return s.do(http.MethodGet, "/readyz", "").status == http.StatusOK
	})
	s.awaitRoute("/things/count")
	return s
}

func (s *stage) trust(roots *x509.CertPool) {
	transport := s.client.Transport.(*http.Transport)
	transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	i := newIdentity(t)
	s := newTLSStage(t, i, i.renew(t, "first"))
	a := s.got(`3`, http.MethodGet, "/things/count", "")
	assert.Equal(t, "max-age=31536000", a.header.Get("Strict-Transport-Security"))
	assert.Equal(t, 201, s.do(http.MethodPost, "/things", fits).status)

	_, err := (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}}).DialContext(s.ctx, "tcp", s.addr)
	require.ErrorContains(t, err, "protocol version", "nothing older than TLS 1.2")

	for _, said := range []string{"GET /things/count HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01", ""} { // plain HTTP; half a handshake; nothing
		w := s.dial(t)
		w.say(said)
		_, err := w.r.WriteTo(discard{})
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection ends within the read timeout")
	}
	s.got(`3`, http.MethodGet, "/things/count", "")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	i := newIdentity(t)
	s := newTLSStage(t, i, i.renew(t, "first"))
	require.NoError(t, os.WriteFile(i.cert, []byte("half a file"), 0o600))
	testsupport.Eventually(t, patience, "it was looked at", func() bool {
		s.client.CloseIdleConnections()
		s.got(`3`, http.MethodGet, "/things/count", "") // still the one before
		return s.logs.Contains("cannot be read again")
	})
	s.trust(i.renew(t, "second"))
	testsupport.Eventually(t, patience, "the new one is shown", func() bool {
		s.client.CloseIdleConnections()
		response, err := s.client.Do(s.request(http.MethodGet, "/things/count", ""))
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.TLS.PeerCertificates[0].Subject.CommonName == "second"
	})
}

// A drain answers requests in flight and closes idle connections, with TLS too.
func TestDrainingHTTPS(t *testing.T) {
	t.Parallel()
	i := newIdentity(t)
	s := newTLSStage(t, i, i.renew(t, "first"))
	entered, release := s.hold()
	answered := make(chan int, 1)
	go func() {
		a, err := s.send(s.request(http.MethodPost, "/slow/hold", ""))
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answered <- a.status
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	s.awaitRefusal()
	close(release)
	assert.Equal(t, 200, <-answered)
	require.NoError(t, <-stopped)
}

// awaitRefusal waits until the gateway accepts no more connections.
func (s *stage) awaitRefusal() {
	s.t.Helper()
	testsupport.Eventually(s.t, patience, "no more connections are taken", func() bool {
		conn, err := new(net.Dialer).DialContext(s.ctx, "tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}
