package api

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
)

// A request that found no route in the table of a gateway that had just started must not
// get 404 when the services appear a moment later.
func TestCallBeforeTheFirstReadOfServicesIsNotUnknown(t *testing.T) {
	t.Parallel()
	router, err := route.New("", nil, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s := &Server{router: router}
	matched := router.Table()
	router.Update(registry.Snapshot{"things": {Name: "things"}})
	assert.True(t, s.tooEarly(matched))
	assert.False(t, s.tooEarly(s.router.Table()), "the table has services")
}
