package tokens

import (
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oskadev/mailroom/bus/wire"
)

// principalOf returns the principal that verified claims describe.
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

// scopesOf returns the scopes of a claim: one string with spaces between them, or a list.
// They are sorted, so that the same scopes compare as equal.
func scopesOf(claim any) ([]string, bool) {
	var scopes []string
	switch claim := claim.(type) {
	case nil:
	case string:
		scopes = strings.Fields(claim)
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
