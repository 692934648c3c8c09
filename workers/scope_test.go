package workers_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/workers"
)

func TestScopesAreDeclared(t *testing.T) {
	t.Parallel()
	read := func(context.Context) (int, error) { return 0, nil }
	s := workers.NewService("books")
	workers.Handle0(s, "OPEN", read)
	workers.Handle0(s, "READ", read, workers.Scope("books:read"))
	workers.Handle0(s, "LEND", read, workers.Scope("books:read", "books:lend"), workers.Scope("desk"))
	m, err := s.Declare()
	require.NoError(t, err)
	assert.Empty(t, m.Actions[0].Scopes)
	assert.Equal(t, []string{"books:read"}, m.Actions[1].Scopes)
	assert.Equal(t, []string{"books:read", "books:lend", "desk"}, m.Actions[2].Scopes)

	bad := workers.NewService("books")
	workers.Handle0(bad, "READ", read, workers.Scope("a b", "ok", ""))
	_, err = bad.Declare()
	require.ErrorContains(t, err, `action READ: scope "a b"`)
	require.ErrorContains(t, err, `action READ: scope ""`)
}

func TestHandlersKnowTheirCallers(t *testing.T) {
	t.Parallel()
	assert.Nil(t, workers.PrincipalFrom(t.Context()), "outside a handler")
	assert.Nil(t, workers.PrincipalFrom(workers.NewContext(t.Context(), workers.Info{})))
	ada := &wire.Principal{Subject: "jwt:ada", Tenant: "acme", Scopes: []string{"a"}}
	ctx := workers.NewContext(t.Context(), workers.Info{Principal: ada})
	assert.Equal(t, ada, workers.PrincipalFrom(ctx))
	assert.False(t, workers.PrincipalFrom(t.Context()).Has("a"), "an anonymous caller has no scope")
}
