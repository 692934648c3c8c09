package tokens

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

// leastRSA is how many bits an RSA key has to have (RFC 7518, section 3.3).
const leastRSA = 2048

// keySet is the keys at one moment. It does not change.
type keySet struct {
	keys   []publicKey
	secret []byte // the only key, instead of those
}

type publicKey struct {
	id        string
	algorithm string // the only one it is for; empty: any that fits
	key       any
}

// readJWKS reads a JWK Set (RFC 7517). A key that verifies nothing is left out; it
// never hides the others.
func readJWKS(text []byte, log *slog.Logger) (*keySet, error) {
	var read struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Keys == nil {
		return nil, errors.New("it is no JWK Set: want a JSON object with the member keys")
	}
	set := &keySet{}
	for i, raw := range read.Keys {
		key, err := readKey(raw)
		if err != nil {
			log.Debug("left out a key of the JWKS", "index", i, "kid", key.id, "error", err)
			continue
		}
		set.keys = append(set.keys, key)
	}
	if len(set.keys) == 0 {
		log.Warn("the JWKS holds no key that verifies tokens: none is accepted", "keys", len(read.Keys))
	}
	return set, nil
}

func readKey(raw json.RawMessage) (publicKey, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return publicKey{}, errors.New("it is no JSON object of a key")
	}
	key := publicKey{id: m.KID, algorithm: string(m.ALG)}
	switch {
	case m.USE != "" && m.USE != jwkset.UseSig:
		return key, fmt.Errorf("its use is %.20q", m.USE)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return key, errors.New("verifying is none of its key_ops")
	}
	// The certificates are not looked at: whoever serves the set is trusted, by TLS.
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	parsed, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key, err
	}
	key.key = parsed.Key()
	switch k := key.key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < leastRSA {
			return key, fmt.Errorf("an RSA key of %d bits is too short", k.N.BitLen())
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return key, fmt.Errorf("a key of type %s verifies no tokens", m.KTY)
	}
	return key, nil
}

// find gives the key for a token: that of its kid, or, without one, the only key
// that fits its algorithm. nil: there is none.
func (s *keySet) find(id, algorithm string) any {
	if s == nil {
		return nil
	}
	if s.secret != nil {
		return s.secret
	}
	var found any
	for _, k := range s.keys {
		if id != "" && k.id != id || !k.fits(algorithm) {
			continue
		}
		if id != "" {
			return k.key
		}
		if found != nil {
			return nil // it could be either
		}
		found = k.key
	}
	return found
}

// fits reports whether the key can have made a signature by the algorithm: what it
// says itself, its type, and its curve.
func (k *publicKey) fits(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curve := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
		return key.Curve.Params().Name == curve
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	default:
		return false
	}
}
