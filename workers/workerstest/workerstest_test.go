package workerstest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
	"github.com/oskadev/mailroom/workers/workerstest"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

type note struct {
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

func TestServicesAreCalled(t *testing.T) {
	t.Parallel()
	notes := workers.NewService("notes")
	workers.Handle1(notes, "GET_NOTE", func(_ context.Context, id int64) (note, error) {
		if id != 1 {
			return note{}, workers.NotFound("no such note")
		}
		return note{ID: id, Text: "hello"}, nil
	}, workers.Route("GET /notes/:id"))
	readers := workers.NewService("readers")
	workers.Handle1(readers, "READ", func(ctx context.Context, id int64) (string, error) {
		n, err := workers.CallFor[note](ctx, "notes", "GET_NOTE", id)
		return n.Text, err
	}, workers.Safe())
	s := workerstest.Start(t, notes, readers)

	n, err := workerstest.Call[note](s, "GET_NOTE", 1)
	require.NoError(t, err)
	assert.Equal(t, note{ID: 1, Text: "hello"}, n)
	_, err = workerstest.Call[note](s, "GET_NOTE", 2)
	assert.Equal(t, workers.CodeNotFound, workers.CodeOf(err))
	_, err = workerstest.Call[note](s, "GET_NOTE", "one")
	assert.Equal(t, workers.CodeBadRequest, workers.CodeOf(err))
	text, err := client.Call[string](t.Context(), s.Client, "readers", "READ", 1)
	require.NoError(t, err)
	assert.Equal(t, "hello", text)
}
