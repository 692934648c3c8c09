package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPrincipalsTravelInMeta(t *testing.T) {
	t.Parallel()
	var nobody *Principal
	assert.Equal(t, `{"a":1}`, nobody.AddTo(`{"a":1}`))
	assert.Empty(t, nobody.AddTo(""))
	for _, p := range []Principal{
		{},
		{Subject: "key:x"},
		{Subject: "jwt:x", Tenant: "t", Scopes: []string{"a"}},
		{Subject: "jwt:\"},\"principal\":{\"subject\":\"root", Tenant: "ä\n\x00<&>", Scopes: []string{"a", `b"]`, "c"}},
	} {
		for _, meta := range []string{"", "{}", `{"request_id":"r"}`, `{"request_id":"r","traceparent":"t"}`} {
			r := Request{Meta: p.AddTo(meta)}
			got := r.ParseMeta()
			assert.Equal(t, &p, got.Principal, r.Meta)
			if len(meta) > 2 {
				assert.Equal(t, "r", got.RequestID, r.Meta)
			}
		}
	}
	r := Request{Meta: (&Principal{Subject: "mine"}).AddTo(`{"principal":{"subject":"root"}}`)}
	assert.Equal(t, "mine", r.ParseMeta().Principal.Subject, "whatever else stands there")
}

func TestMetaIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, m := range []Meta{
		{},
		{Depth: 2},
		{Began: 1_790_000_000_000},
		{RequestID: "r\"", TraceParent: "t", Caller: "c", Version: "v2", Plan: "p", Began: 1, Depth: 3, Lanes: []string{"a/b", "c/d"}},
	} {
		r := Request{Meta: m.Encode()}
		assert.Equal(t, m, r.ParseMeta(), r.Meta)
	}
}

// FuzzPrincipalInMeta puts any principal into a meta: it comes back as it was, and
// nothing else does.
func FuzzPrincipalInMeta(f *testing.F) {
	f.Add("key:a", "t", "users:read", "r")
	f.Add("\"}", "\\", "\u2028", "")
	f.Fuzz(func(t *testing.T, subject, tenant, scope, requestID string) {
		valid := func(s string) string { return string([]rune(s)) } // as JSON has it, from which principals come
		p := &Principal{Subject: valid(subject), Tenant: valid(tenant), Scopes: []string{valid(scope)}}
		r := Request{Meta: p.AddTo(string(appendText([]byte(`{"request_id":`), valid(requestID))) + "}")}
		m := r.ParseMeta()
		assert.Equal(t, p, m.Principal)
		assert.Equal(t, valid(requestID), m.RequestID)
	})
}

// A meta that was written by hand is read as it was.
func FuzzMeta(f *testing.F) {
	f.Add("a", "b", "c", "v1", "x", 3, "things/thing:1")
	f.Add("", "", "", "", "", 0, "")
	f.Add("\"", "\\", "<", "\n", "\u2028", -1, "é")
	f.Fuzz(func(t *testing.T, id, trace, caller, version, plan string, depth int, lane string) {
		want := Meta{RequestID: id, TraceParent: trace, Caller: caller, Version: version, Plan: plan, Depth: depth}
		if lane != "" {
			want.Lanes = []string{lane, lane}
		}
		byHand := want.Encode()
		text, err := json.Marshal(want)
		require.NoError(t, err)
		if byHand == "" {
			byHand = "{}"
		}
		assert.Equal(t, string(text), byHand)
	})
}
