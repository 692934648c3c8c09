package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Credentials identify a process to Redis in addition to the URL. The zero value adds
// nothing. Errors name a file, never its content.
type Credentials struct {
	// PasswordFile holds the password of the URL's user, or of the default user. A line
	// break at its end is ignored. The file is read for each new connection, so that a
	// new password needs no restart. Defaults to none.
	PasswordFile string
	// CertFile and KeyFile hold the client certificate and its private key, PEM. Only
	// for rediss://. Defaults to none.
	CertFile, KeyFile string
	// CAFile holds the certificates of the authorities that may sign the certificate of
	// Redis, PEM. Only for rediss://. Defaults to the authorities of the system.
	CAFile string
}

// ReadPassword returns the content of a file of one line, without its line break.
func ReadPassword(file string) (string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("password file %s: want one line that is not empty", file)
	}
	return password, nil
}

// passwordBytes is the number of random bytes in a new password.
const passwordBytes = 32

// MakePassword creates a file with a random password that only its owner can read. It
// leaves an existing file as it is.
func MakePassword(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make a password: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names the file
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make a password: %w", err)
	}
	random := make([]byte, passwordBytes)
	_, _ = rand.Read(random) // it never returns an error
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(random) + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make a password: %w", err)
	}
	return nil
}

// prove adds credentials to the options of the URL.
func (t *target) prove(c Credentials) error {
	if c.PasswordFile != "" {
		if t.options.Password != "" {
			return errors.New("Redis URL: it has a password, and a password file is set too: leave one of them out")
		}
		if _, err := ReadPassword(c.PasswordFile); err != nil {
			return err
		}
		user := t.options.Username
		t.options.CredentialsProviderContext = func(context.Context) (string, string, error) {
			password, err := ReadPassword(c.PasswordFile)
			return user, password, err
		}
	}
	if user := t.options.Username; user != "" && t.options.Password == "" && c.PasswordFile == "" {
		return fmt.Errorf("Redis URL: it has the user %q and no password: set a password file or write user:password", user)
	}
	if c.CertFile == "" && c.KeyFile == "" && c.CAFile == "" {
		return nil
	}
	if t.options.TLSConfig == nil {
		return fmt.Errorf("Redis URL: certificates are only for rediss://, not for %s://", t.scheme)
	}
	return errors.Join(t.certificate(c), t.authorities(c))
}

// certificate loads the client certificate.
func (t *target) certificate(c Credentials) error {
	if c.CertFile == "" && c.KeyFile == "" {
		return nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return errors.New("a certificate and its key belong together: set both files")
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
	}
	t.options.TLSConfig.Certificates = []tls.Certificate{pair}
	return nil
}

// authorities loads the authorities that may sign the certificate of Redis.
func (t *target) authorities(c Credentials) error {
	if c.CAFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("authorities %s: no certificate in it", c.CAFile)
	}
	t.options.TLSConfig.RootCAs = pool
	return nil
}
