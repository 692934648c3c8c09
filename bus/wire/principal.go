package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Principal is the caller of the API, as the gateway authenticated it. The metadata of a
// request holds it.
type Principal struct {
	// Subject names the caller within its tenant: "key:" and the ID of an API key,
	// or the claim sub of a token behind "jwt:".
	Subject string `json:"subject"`
	// Tenant names the tenant of the caller; empty: none.
	Tenant string `json:"tenant,omitempty"`
	// Scopes are the scopes of the caller.
	Scopes []string `json:"scopes,omitempty"`
}

// Key returns a string that is different for each principal: the length of the tenant,
// the tenant and the subject. Only the key of an anonymous caller, nil, is empty.
func (p *Principal) Key() string {
	if p == nil {
		return ""
	}
	return strconv.Itoa(len(p.Tenant)) + ":" + p.Tenant + p.Subject
}

// Has reports whether the principal has a scope. An anonymous caller has none.
func (p *Principal) Has(scope string) bool { return p != nil && slices.Contains(p.Scopes, scope) }

// Lacks returns the first of the scopes that the principal lacks; empty: it has all.
func (p *Principal) Lacks(scopes []string) string {
	for _, scope := range scopes {
		if !p.Has(scope) {
			return scope
		}
	}
	return ""
}

const maxScope = 128

// CheckScope returns an error if a scope is not 1 to 128 visible ASCII characters
// without the quotation mark and the backslash
// (https://www.rfc-editor.org/rfc/rfc6749#section-3.3).
func CheckScope(scope string) error {
	ok := scope != "" && len(scope) <= maxScope
	for i := range len(scope) {
		c := scope[i]
		ok = ok && c > ' ' && c <= '~' && c != '"' && c != '\\'
	}
	if !ok {
		return fmt.Errorf("scope %.140q: want 1 to %d visible ASCII characters, without quotation marks and backslashes", scope, maxScope)
	}
	return nil
}

// AddTo adds the principal to metadata, a JSON object or empty.
func (p *Principal) AddTo(meta string) string {
	if p == nil {
		return meta
	}
	dst := make([]byte, 0, len(meta)+64+len(p.Subject)+len(p.Tenant)+32*len(p.Scopes))
	if meta = strings.TrimSuffix(meta, "}"); len(meta) > 1 {
		dst = append(append(dst, meta...), ',')
	} else {
		dst = append(dst, '{')
	}
	dst = appendText(append(dst, `"principal":{"subject":`...), p.Subject)
	if p.Tenant != "" {
		dst = appendText(append(dst, `,"tenant":`...), p.Tenant)
	}
	for i, scope := range p.Scopes {
		if i == 0 {
			dst = append(dst, `,"scopes":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendText(dst, scope)
	}
	if len(p.Scopes) > 0 {
		dst = append(dst, ']')
	}
	return string(append(dst, "}}"...))
}

// appendText writes a JSON string. Most need no escapes and take the short path.
func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(text) // a string can always be encoded
			return append(dst, escaped...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
