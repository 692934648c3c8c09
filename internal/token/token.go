// Package token makes random texts that cannot be guessed.
package token

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// NameBytes is how many random bytes are in a name that identifies a process:
// 80 bits.
const NameBytes = 10

// New returns n random bytes as lower-case letters and digits (base32): 8
// characters for 5 bytes.
func New(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
