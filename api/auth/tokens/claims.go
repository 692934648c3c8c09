package tokens

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oskadev/mailroom/bus/wire"
)

// principalOf returns the principal that verified claims describe.
func principalOf(claims jwt.MapClaims, tenantClaim string) (*wire.Principal, error) {
	subject, _ := claims["sub"].(string)
	if subject == "" {
		return nil, refused("it has no subject (sub)")
	}
	if !isUnicode(subject) {
		return nil, refused("its subject (sub) is not valid Unicode")
	}
	// The parser has checked exp, and nbf if there is one.
	if issued, found := claims["iat"]; found {
		if _, ok := issued.(float64); !ok {
			return nil, refused("its time of issue (iat) is not a number")
		}
	}
	p := &wire.Principal{Subject: "jwt:" + subject}
	switch tenant := claims[tenantClaim].(type) {
	case nil:
	case string:
		if !isUnicode(tenant) {
			return nil, refused("its claim of the tenant is not valid Unicode")
		}
		p.Tenant = tenant
	default:
		return nil, refused("its claim of the tenant is no string")
	}
	claimed, found := claims["scope"] // RFC 8693, section 4.2
	if !found {
		claimed = claims["scp"] // the name that some providers use
	}
	var ok bool
	if p.Scopes, ok = scopesOf(claimed); !ok {
		return nil, refused("its scopes are neither a string nor a list of strings")
	}
	return p, nil
}

// isUnicode reports whether a decoded text had neither lone surrogates nor invalid bytes. The
// JSON decoder replaces each of them, so that different texts would become the same.
func isUnicode(text string) bool { return !strings.ContainsRune(text, utf8.RuneError) }

// scopesOf returns the scopes of a claim: one string with spaces between them (RFC 6749,
// section 3.3: no other white space), or a list. They are sorted, so that the same scopes compare as equal.
func scopesOf(claim any) ([]string, bool) {
	var scopes []string
	switch claim := claim.(type) {
	case nil:
	case string:
		for scope := range strings.SplitSeq(claim, " ") {
			if scope != "" {
				scopes = append(scopes, scope)
			}
		}
	case []any:
		for _, one := range claim {
			scope, ok := one.(string)
			if !ok {
				return nil, false
			}
			scopes = append(scopes, scope)
		}
	default:
		return nil, false
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), true
}
