package api

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/registry"
)

// A call that found nothing in the table of a gateway that had just started
// must not hear 404 because the services were seen a moment later.
func TestCallThatMatchedBeforeTheFirstLookIsNotToldThatThereIsNoRoute(t *testing.T) {
	t.Parallel()
	s := &Server{router: &router{}}
	matched := buildTable(registry.Snapshot{}, slog.New(slog.DiscardHandler))
	s.router.table.Store(buildTable(registry.Snapshot{"things": {Name: "things"}}, slog.New(slog.DiscardHandler)))
	assert.True(t, s.tooEarly(matched))
	assert.False(t, s.tooEarly(s.router.table.Load()), "it has seen services")
}
