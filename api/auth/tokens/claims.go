package tokens

import (
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oskadev/mailroom/bus/wire"
)

// principalOf reads who is meant from claims that have been verified.
func principalOf(claims jwt.MapClaims, tenantClaim string) (*wire.Principal, error) {
	subject, _ := claims["sub"].(string)
	if subject == "" {
		return nil, refused("it has no subject (sub)")
	}
	p := &wire.Principal{Subject: "jwt:" + subject}
	switch tenant := claims[tenantClaim].(type) {
	case nil:
	case string:
		p.Tenant = tenant
	default:
		return nil, refused("its claim of the tenant is no string")
	}
	said, found := claims["scope"] // RFC 8693, section 4.2
	if !found {
		said = claims["scp"] // as some providers have it
	}
	var ok bool
	if p.Scopes, ok = scopesOf(said); !ok {
		return nil, refused("its scopes are neither a string nor a list of strings")
	}
	return p, nil
}

// scopesOf reads scopes: one string with spaces between them, or a list. Sorted,
// so that the same scopes are the same however they were said.
func scopesOf(said any) ([]string, bool) {
	var scopes []string
	switch said := said.(type) {
	case nil:
	case string:
		scopes = strings.Fields(said)
	case []any:
		for _, one := range said {
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
