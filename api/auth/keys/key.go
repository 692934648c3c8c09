package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/oskadev/mailroom/bus/wire"
)

// Prefix begins the text of every key: mk_<id>_<secret>. Scanners for leaked
// secrets find keys by it.
const Prefix = "mk_"

// Sizes of the parts of a key's text: ten and twenty random bytes in base32.
const (
	idLength     = 16
	secretLength = 32
	textLength   = len(Prefix) + idLength + 1 + secretLength
)

// Key is what may be shown of an API key: all but its secret.
type Key struct {
	// ID names the key; it is the second part of its text, and no secret.
	ID string `json:"id,omitempty"`
	// Name says for people whose key it is.
	Name string `json:"name"`
	// Scopes are what its holder may do.
	Scopes []string `json:"scopes,omitempty"`
	// Tenant names whom its holder belongs to; empty where there are no tenants.
	Tenant string `json:"tenant,omitempty"`
	// Created and Expires are Redis time; Expires is zero for a key that does not.
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// Expired reports whether the key has ended by itself.
func (k *Key) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// subjectPrefix begins the subject of whoever calls with a key.
const subjectPrefix = "key:"

// IsHolder reports whether a principal called with a key.
func IsHolder(p *wire.Principal) bool { return p != nil && strings.HasPrefix(p.Subject, subjectPrefix) }

// Principal is who calls with the key.
func (k *Key) Principal() *wire.Principal {
	return &wire.Principal{Subject: subjectPrefix + k.ID, Tenant: k.Tenant, Scopes: k.Scopes}
}

const maxText = 128

// Check names everything that is wrong with what a key is to be.
func (k *Key) Check() error {
	var errs []error
	if k.Name == "" || !sane(k.Name) {
		errs = append(errs, fmt.Errorf("name %.140q: want 1 to %d printable characters", k.Name, maxText))
	}
	if !sane(k.Tenant) {
		errs = append(errs, fmt.Errorf("tenant %.140q: want at most %d printable characters", k.Tenant, maxText))
	}
	for _, scope := range k.Scopes {
		if err := wire.CheckScope(scope); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func sane(text string) bool {
	return len(text) <= maxText && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// kept is a key as it lies in Redis, under its ID.
type kept struct {
	Key
	Hash string `json:"sha256"` // of the secret, in hexadecimal
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// parse cuts the text of a key.
func parse(text string) (id, secret string, ok bool) {
	if len(text) != textLength || text[:len(Prefix)] != Prefix || text[len(Prefix)+idLength] != '_' {
		return "", "", false
	}
	id, secret = text[len(Prefix):len(Prefix)+idLength], text[len(Prefix)+idLength+1:]
	return id, secret, isBase32(id) && isBase32(secret)
}

func isBase32(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// IDOf is the ID in what somebody gave to name a key: its ID, or its whole text,
// such as one that was found where it should not be.
func IDOf(text string) (string, error) {
	if id, _, ok := parse(text); ok {
		return id, nil
	}
	if len(text) == idLength && isBase32(text) {
		return text, nil
	}
	return "", errors.New("that is no ID of a key: want the 16 letters and digits that `mailroom keys list` shows")
}

// Redact takes the keys out of a text that people will see.
func Redact(text string) string {
	return regexp.MustCompile(Prefix+`[A-Za-z0-9_]+`).ReplaceAllString(text, Prefix+"…")
}

func hash(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
