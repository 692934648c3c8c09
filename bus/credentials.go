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

// Credentials prove who a process is, beside what the URL says. All empty: the
// URL says everything. Errors about them name the file, and never show what is
// in it.
type Credentials struct {
	// PasswordFile holds the password of the user whom the URL names, or of the
	// default user; a line break at its end is none of it. It is read at each new
	// connection, so that a new password needs no new process.
	PasswordFile string
	// CertFile and KeyFile are the certificate that the process shows to Redis,
	// and its private key, both PEM. For rediss:// only.
	CertFile, KeyFile string
	// CAFile holds the certificates of those who may vouch for Redis, PEM. For
	// rediss:// only. Defaults to the system's.
	CAFile string
}

// ReadPassword reads the password that is all of a file, but for a line break
// at the end.
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

// passwordBytes is how much chance is in a password that is made here.
const passwordBytes = 32

// MakePassword makes a file with a password that nobody can guess, for its owner
// alone to read. A file that is there already stays as it is.
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
	chance := make([]byte, passwordBytes)
	_, _ = rand.Read(chance) // it never fails: see its documentation
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(chance) + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make a password: %w", err)
	}
	return nil
}

// prove adds credentials to what the URL says.
func (t *target) prove(c Credentials) error {
	if c.PasswordFile != "" {
		if t.options.Password != "" {
			return errors.New("Redis URL: it holds a password, and there is a password file too: leave one of them out")
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
		return fmt.Errorf("Redis URL: it names the user %q and no password: name a file that holds it, or write it behind the user", user)
	}
	if c.CertFile == "" && c.KeyFile == "" && c.CAFile == "" {
		return nil
	}
	if t.options.TLSConfig == nil {
		return fmt.Errorf("Redis URL: certificates are for rediss://, not for %s://", t.scheme)
	}
	return errors.Join(t.certificate(c), t.authorities(c))
}

// certificate is what the process shows.
func (t *target) certificate(c Credentials) error {
	if c.CertFile == "" && c.KeyFile == "" {
		return nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return errors.New("a certificate and its key belong together: one of the two files is not named")
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
	}
	t.options.TLSConfig.Certificates = []tls.Certificate{pair}
	return nil
}

// authorities are those who may vouch for Redis.
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
