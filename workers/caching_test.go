package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestCachingIsInTheManifest(t *testing.T) {
	t.Parallel()
	s := workers.NewService("books")
	read := func(context.Context, int64) (int, error) { return 0, nil }
	workers.Handle1(s, "GET_BOOK", read, workers.Route("GET /books/:id"), workers.Public(),
		workers.Cache(time.Second, "book:{0}"), workers.StaleWhileRevalidate(time.Minute), workers.StaleIfError(time.Hour))
	workers.Handle1(s, "LOOK", read, workers.Route("GET /books/:id/look"), workers.CollapseOnly("book:{0}"))
	workers.Handle1(s, "LEND", read, workers.Route("POST /books/:id/lend"), workers.Invalidates("book:{0}", "books"))
	m, err := s.Declare()
	require.NoError(t, err)
	require.Len(t, m.Actions, 4)
	told := func(i int) string {
		text, err := json.Marshal(m.Actions[i].Cache)
		require.NoError(t, err)
		return string(text)
	}
	assert.Equal(t, `{"ttl_ms":1000,"tags":["book:{0}"],"public":true,"stale_while_revalidate_ms":60000,"stale_if_error_ms":3600000}`, told(0))
	assert.Equal(t, `{"ttl_ms":0,"tags":["book:{0}"]}`, told(1))
	assert.Equal(t, []string{"book:{0}", "books"}, m.Actions[2].Invalidates)
	assert.Equal(t, workers.InvalidateAction, m.Actions[3].Name)
	again, err := s.Declare()
	require.NoError(t, err)
	assert.Len(t, again.Actions, 4)
}

func TestFaultsOfCaching(t *testing.T) {
	t.Parallel()
	s := workers.NewService("books")
	read := func(context.Context, int64) (int, error) { return 0, nil }
	get := workers.Route("GET /books/:id")
	workers.Handle1(s, "TOO_SHORT", read, get, workers.Cache(time.Microsecond))
	workers.Handle1(s, "TOO_LONG", read, get, workers.Cache(25*time.Hour))
	workers.Handle1(s, "UNSAFE", read, workers.Route("POST /books/:id"), workers.Cache(time.Second))
	workers.Handle1(s, "NO_ARGUMENT", read, get, workers.Cache(time.Second, "book:{1}"))
	workers.Handle1(s, "TWO_WORDS", read, get, workers.CollapseOnly("two words"))
	workers.Handle1(s, "STALE_ALONE", read, get, workers.CollapseOnly(), workers.StaleIfError(time.Second))
	workers.Handle1(s, "STALE_BACKWARDS", read, get, workers.Cache(time.Second), workers.StaleWhileRevalidate(-time.Second))
	workers.Handle1(s, "SAFE_CHANGE", read, get, workers.Invalidates("books"))
	_, err := s.Declare()
	for _, name := range []string{
		"TOO_SHORT", "TOO_LONG", "UNSAFE", "NO_ARGUMENT", "TWO_WORDS", "STALE_ALONE", "STALE_BACKWARDS", "SAFE_CHANGE",
	} {
		require.ErrorContains(t, err, "action "+name)
	}
}

// A run invalidates its tags before its outcome is sent, whatever the outcome is.
func TestEveryRunInvalidates(t *testing.T) {
	t.Parallel()
	url := testsupport.Miniredis(t)
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	books := workers.NewService("books")
	handle := func(ctx context.Context, what string) (string, error) {
		workers.Invalidate(ctx, "seen")
		switch what {
		case "fail":
			return "", errors.New("it broke")
		case "panic":
			panic("oh") //nolint:forbidigo // the test needs a panic
		}
		return what, nil
	}
	workers.Handle1(books, "CHANGE", handle, workers.Route("POST /books/:what"), workers.Invalidates("book:{0}"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- workers.Run(busctx.With(ctx, conn), workers.Config{Logger: log}, books) }()
	client := caller.New(conn, caller.Config{})
	t.Cleanup(func() {
		client.Close()
		stop()
		require.NoError(t, <-ended)
	})
	for _, what := range []string{"work", "fail", "panic"} {
		nonce := "mailroom:{books}:tag:book:" + what
		require.NoError(t, conn.Redis().Set(t.Context(), nonce, "old", time.Hour).Err())
		reply, err := client.Do(t.Context(), &caller.Call{Service: "books", Action: "CHANGE", Args: `["` + what + `"]`})
		require.NoError(t, err)
		meta, err := wire.ParseReplyMeta(reply.Meta)
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"seen", "book:" + what}, meta.Tags)
		assert.NotEqual(t, "old", conn.Redis().Get(t.Context(), nonce).Val())
		assert.Positive(t, conn.Redis().TTL(t.Context(), nonce).Val())
		assert.Zero(t, conn.Redis().Exists(t.Context(), "mailroom:{books}:tag:seen").Val(), "a tag without cached answers has no nonce")
	}
}
