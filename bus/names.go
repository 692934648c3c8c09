package bus

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// randomName is 16 letters and digits that nobody can guess: 80 random bits.
func randomName() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
