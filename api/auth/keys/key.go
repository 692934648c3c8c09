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

// Prefix is the beginning of the text of every key: mk_<id>_<secret>. Scanners for leaked
// secrets search for it.
const Prefix = "mk_"

// Sizes of the parts of a key's text: ten and twenty random bytes in base32.
const (
	idLength     = 16
	secretLength = 32
	textLength   = len(Prefix) + idLength + 1 + secretLength
)

// Key is an API key without its secret.
type Key struct {
	// ID is the second part of the text of the key. It is not secret.
	ID string `json:"id,omitempty"`
	// Name says whose key it is, for people: 1 to 128 printable characters.
	Name string `json:"name"`
	// Scopes are the rights of its holder. Defaults to none.
	Scopes []string `json:"scopes,omitempty"`
	// Tenant is the tenant of its holder. Defaults to none.
	Tenant string `json:"tenant,omitempty"`
	// Created and Expires are times of the Redis clock. Expires defaults to never.
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// subjectPrefix is the beginning of the subject of the holder of a key.
const subjectPrefix = "key:"

// IsHolder reports whether a principal authenticated by a key.
func IsHolder(p *wire.Principal) bool { return p != nil && strings.HasPrefix(p.Subject, subjectPrefix) }

// Principal returns the principal that the key authenticates.
func (k *Key) Principal() *wire.Principal {
	return &wire.Principal{Subject: subjectPrefix + k.ID, Tenant: k.Tenant, Scopes: k.Scopes}
}

const maxText = 128

// Check returns every fault of a key that is to be created, or nil.
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

// stored is a key as Redis holds it, under its ID.
type stored struct {
	Key
	Hash string `json:"sha256"` // of the secret, in hexadecimal
}

// random returns random bytes in lower-case base32.
func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// parse splits the text of a key.
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

// IDOf returns the ID of a key from its ID or its whole text, such as that of a leaked
// key.
func IDOf(text string) (string, error) {
	if id, _, ok := parse(text); ok {
		return id, nil
	}
	if len(text) == idLength && isBase32(text) {
		return text, nil
	}
	return "", errors.New("not the ID of a key: want the 16 letters and digits that `mailroom keys list` shows")
}

// Redact replaces the keys in a text.
func Redact(text string) string {
	if !strings.Contains(text, Prefix) {
		return text
	}
	return regexp.MustCompile(Prefix+`[A-Za-z0-9_]+`).ReplaceAllString(text, Prefix+"…")
}

func hash(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
