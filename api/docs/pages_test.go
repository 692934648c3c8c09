package docs

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func TestDocumentsAreBuiltOnceForATable(t *testing.T) {
	t.Parallel()
	router, err := route.New("", nil, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	known := false
	p, err := New(Config{Table: router.Table, Known: func() bool { return known }, Auth: auth.None, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	_, f := p.find("/openapi.json")
	require.NotNil(t, f, "the services are not known yet")
	assert.Equal(t, wire.CodeUnavailable, f.Code)

	known = true
	first, f := p.find("/openapi.json")
	require.Nil(t, f)
	again, f := p.find("/openapi.json")
	require.Nil(t, f)
	assert.Same(t, &first.body[0], &again.body[0])

	router.Update(registry.Snapshot{})
	same, f := p.find("/openapi.json")
	require.Nil(t, f)
	assert.NotSame(t, &first.body[0], &same.body[0], "it is built again")
	assert.Equal(t, first.etag, same.etag, "and says the same")
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/docs": true, "/docs/": true, "/docs/v2": true, "/openapi.json": true, "/openapi.json/": true, "/v2/openapi.json": true,
		"/": false, "": false, "/docsx": false, "/users/openapi.json": false, "/v2/users/openapi.json": false, "/v2": false,
	} {
		assert.Equal(t, want, Has(path), path)
	}
}
