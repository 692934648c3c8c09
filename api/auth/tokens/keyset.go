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

// minRSA is the minimum size of an RSA key, in bits (RFC 7518, section 3.3).
const minRSA = 2048

// keySet is an immutable set of keys.
type keySet struct {
	keys   []publicKey
	secret []byte // the only key, in place of keys
}

type publicKey struct {
	id        string
	algorithm string // the only one it is for; empty: any that fits its type
	key       any
}

// readJWKS reads a JWK Set (RFC 7517). It leaves out keys that cannot verify tokens.
func readJWKS(text []byte, log *slog.Logger) (*keySet, error) {
	var read struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Keys == nil {
		return nil, errors.New("not a JWK Set: want a JSON object with the member keys")
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
		log.Warn("the JWKS holds no key that verifies tokens, all tokens are refused", "keys", len(read.Keys))
	}
	return set, nil
}

func readKey(raw json.RawMessage) (publicKey, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return publicKey{}, errors.New("not the JSON object of a key")
	}
	key := publicKey{id: m.KID, algorithm: string(m.ALG)}
	switch {
	case m.USE != "" && m.USE != jwkset.UseSig:
		return key, fmt.Errorf("its use is %.20q", m.USE)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return key, errors.New("its key_ops lack verify")
	}
	// Certificates are ignored: the server of the set is trusted, by TLS.
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
	parsed, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key, err
	}
	key.key = parsed.Key()
	switch k := key.key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return key, fmt.Errorf("an RSA key of %d bits is too short", k.N.BitLen())
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return key, fmt.Errorf("a key of type %s cannot verify tokens", m.KTY)
	}
	return key, nil
}

// find returns the key for a token: the key of its kid or, without a kid, the only key
// that fits its algorithm; nil: there is none.
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
			return nil // ambiguous
		}
		found = k.key
	}
	return found
}

// fits reports whether the key verifies signatures of an algorithm: by its own alg, its
// type and its curve.
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
