package bus

import (
	"slices"
	"strconv"
)

// Principal is who called the API, as the gateway made sure of it. It travels in
// the meta of a request.
type Principal struct {
	// Subject names the caller within its tenant: "key:" and the ID of an API key,
	// or the claim sub of a token behind "jwt:".
	Subject string `json:"subject"`
	// Tenant names whom the caller belongs to; empty where there are no tenants.
	Tenant string `json:"tenant,omitempty"`
	// Scopes are what the caller may do.
	Scopes []string `json:"scopes,omitempty"`
}

// Key tells principals apart: the subject behind the length of the tenant, and
// the tenant. That of nobody, nil, is empty, and nobody else's is.
func (p *Principal) Key() string {
	if p == nil {
		return ""
	}
	return strconv.Itoa(len(p.Tenant)) + ":" + p.Tenant + p.Subject
}

// Has reports whether the principal has a scope; nobody has any.
func (p *Principal) Has(scope string) bool { return p != nil && slices.Contains(p.Scopes, scope) }
