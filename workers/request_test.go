package workers_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/workers"
	"github.com/oskadev/mailroom/workers/workerstest"
)

type moveNote struct {
	Owner int64   `path:"owner"`
	ID    string  `path:"id"`
	Limit int     `query:"limit,omitempty"`
	To    string  `json:"to"`
	Why   *string `json:"why,omitempty"`
}

func echoed(_ context.Context, in moveNote) (moveNote, error) { return in, nil }

func TestRequestStructsAreFilled(t *testing.T) {
	t.Parallel()
	notes := workers.NewService("notes")
	workers.Handle(notes, "MOVE_NOTE", echoed, workers.Route("POST /notes/:owner/of/:id"))
	workers.Handle(notes, "PING", func(context.Context, struct{}) (string, error) { return "pong", nil }, workers.Safe())
	m, err := notes.Declare()
	require.NoError(t, err)
	move := m.Action("MOVE_NOTE")
	require.Len(t, move.Args, 3)
	assert.Equal(t, []string{"owner", "id", "body"}, []string{move.Args[0].Name, move.Args[1].Name, move.Args[2].Name})
	assert.Equal(t, wire.InPath, move.Args[1].In)
	assert.Contains(t, string(move.Args[2].Schema), `"limit"`)

	s := workerstest.Start(t, notes)
	got, err := workerstest.Call[moveNote](s, "MOVE_NOTE", 7, "a", map[string]any{"limit": 3, "to": "b"})
	require.NoError(t, err)
	assert.Equal(t, moveNote{Owner: 7, ID: "a", Limit: 3, To: "b"}, got)
	for _, misfit := range [][]any{{"x", "a", map[string]any{"to": "b"}}, {7, "a"}, {7, "a", map[string]any{"to": "b", "more": 1}}} {
		_, err := workerstest.Call[moveNote](s, "MOVE_NOTE", misfit...)
		assert.Equal(t, workers.CodeBadRequest, workers.CodeOf(err), "%v", misfit)
	}
	pong, err := workerstest.Call[string](s, "PING")
	require.NoError(t, err)
	assert.Equal(t, "pong", pong)
}

func TestRequestStructsAreChecked(t *testing.T) {
	t.Parallel()
	notes := workers.NewService("notes")
	workers.Handle(notes, "SWAPPED", echoed, workers.Route("POST /notes/:id/of/:owner"))
	workers.Handle(notes, "NUMBER", func(context.Context, int) (int, error) { return 0, nil })
	workers.Handle(notes, "HIDDEN", func(context.Context, struct{ id int }) (int, error) { return 0, nil })
	_, err := notes.Manifest()
	for _, want := range []string{
		`SWAPPED: field Owner has the tag path "owner", the route has :id`, "NUMBER: request int: want a struct", "HIDDEN: request struct { id int }: field id is not exported",
	} {
		require.ErrorContains(t, err, want)
	}
}
