package bus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

// authority signs certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.issue(t, "ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.crt and NAME.key; the first is its own authority.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if a.cert == nil {
		cert.IsCA, cert.BasicConstraintsValid = true, true
		a.cert, a.key = cert, key
	}
	text, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), 0o600))
	require.NoError(t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	ours.issue(t, "redis")
	ours.issue(t, "worker")
	others.issue(t, "worker")
	port := testsupport.FreePort(t)
	redis := testsupport.StartRedis(t, "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "yes", "--tls-ca-cert-file", ours.file("ca.crt"),
		"--tls-cert-file", ours.file("redis.crt"), "--tls-key-file", ours.file("redis.key"))
	redis.Do("ACL", "SETUSER", "users", "on", ">hidden", "+@all", "~*")
	require.NoError(t, os.WriteFile(ours.file("password"), []byte("hidden\n"), 0o600))
	url := "rediss://users@127.0.0.1:" + strconv.Itoa(port)
	reach := func(c bus.Credentials) error {
		c.PasswordFile = ours.file("password")
		log, _ := testsupport.Logger(t)
		conn, err := bus.Connect(url, bus.Options{Credentials: c, Logger: log, Timeout: 5 * time.Second})
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		return conn.Ping(t.Context())
	}
	require.NoError(t, reach(bus.Credentials{CAFile: ours.file("ca.crt"), CertFile: ours.file("worker.crt"), KeyFile: ours.file("worker.key")}))
	require.ErrorContains(t, reach(bus.Credentials{CAFile: others.file("ca.crt"), CertFile: ours.file("worker.crt"), KeyFile: ours.file("worker.key")}),
		"certificate", "an unknown authority signed the certificate of Redis")
	require.Error(t, reach(bus.Credentials{CAFile: ours.file("ca.crt"), CertFile: others.file("worker.crt"), KeyFile: others.file("worker.key")}),
		"an unknown authority signed the client certificate")
	require.Error(t, reach(bus.Credentials{CAFile: ours.file("ca.crt")}), "no client certificate")
}

func TestCredentialErrorsNameTheFileAndHideItsContent(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	hidden, none := a.file("hidden"), a.file("none")
	require.NoError(t, os.WriteFile(hidden, []byte("hidden\nhidden"), 0o600))
	crt, key := a.file("ca.crt"), a.file("ca.key")
	const plain, tls = "redis://u@h", "rediss://h"
	for _, c := range []struct {
		url, want string
		bus.Credentials
	}{
		{plain, none, bus.Credentials{PasswordFile: none}},
		{plain, "want one line", bus.Credentials{PasswordFile: hidden}},
		{"redis://u:hidden@h", "leave one of them out", bus.Credentials{PasswordFile: key}},
		{plain, `the user "u" and no password`, bus.Credentials{}},
		{"redis://h", "only for rediss://", bus.Credentials{CAFile: crt}},
		{tls, "belong together", bus.Credentials{CertFile: crt}},
		{tls, "belong together", bus.Credentials{KeyFile: key}},
		{tls, none, bus.Credentials{CertFile: crt, KeyFile: none}},
		{tls, hidden, bus.Credentials{CertFile: crt, KeyFile: hidden}},
		{tls, none, bus.Credentials{CAFile: none}},
		{tls, "no certificate in it", bus.Credentials{CAFile: key}},
	} {
		_, err := bus.Connect(c.url, bus.Options{Credentials: c.Credentials})
		require.ErrorContains(t, err, c.want)
		assert.NotContains(t, err.Error(), "hidden\n")
		assert.NotContains(t, err.Error(), ":hidden")
	}
}

func TestPasswordFileIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	redis.Do("ACL", "SETUSER", "users", "on", ">old", "+@all", "~*", "&*")
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect("redis://users@"+redis.Addr(), bus.Options{Credentials: bus.Credentials{PasswordFile: file}, Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.Ping(t.Context()))
	redis.Do("ACL", "SETUSER", "users", "resetpass", ">new")
	require.NoError(t, os.WriteFile(file, []byte("new"), 0o600))
	require.NoError(t, conn.Ping(t.Context()), "an open connection stays open")
	redis.Do("CLIENT", "KILL", "USER", "users")
	testsupport.Eventually(t, 5*time.Second, "it reconnects with the new password", func() bool { return conn.Ping(t.Context()) == nil })
}

func TestMakePasswordKeepsAnExistingFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, bus.MakePassword(file))
	made, err := bus.ReadPassword(file)
	require.NoError(t, err)
	assert.Len(t, made, 43)
	require.NoError(t, bus.MakePassword(file))
	again, err := bus.ReadPassword(file)
	require.NoError(t, err)
	assert.Equal(t, made, again)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	require.ErrorContains(t, bus.MakePassword(filepath.Join(file, "x")), file)
}
