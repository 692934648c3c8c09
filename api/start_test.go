package api

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
)

// A call that found nothing in the table of a gateway that had just started
// must not hear 404 because the services were seen a moment later.
func TestCallThatMatchedBeforeTheFirstLookIsNotToldThatThereIsNoRoute(t *testing.T) {
	t.Parallel()
	s := &Server{router: &route.Router{}}
	matched := route.BuildTable(registry.Snapshot{}, slog.New(slog.DiscardHandler))
	s.router.Table.Store(route.BuildTable(registry.Snapshot{"things": {Name: "things"}}, slog.New(slog.DiscardHandler)))
	assert.True(t, s.tooEarly(matched))
	assert.False(t, s.tooEarly(s.router.Table.Load()), "it has seen services")
}
