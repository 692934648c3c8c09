package workers_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/workers"
)

type user struct {
	ID   int64  `json:"id"`
	Name string `json:"name" jsonschema:"What to call them"`
}

type patch struct {
	Name *string `json:"name,omitempty"`
}

type filter struct {
	Limit int `json:"limit,omitempty"`
}

func declared() *workers.Service {
	s := workers.NewService("users", workers.WithVersion("1.4.0"))
	workers.Handle1(s, "GET_USER", func(context.Context, int64) (user, error) { return user{}, nil },
		workers.Route("GET /users/:id"), workers.Summary("One user"))
	workers.Handle1(s, "LIST_USERS", func(context.Context, filter) ([]user, error) { return nil, nil }, workers.Route("GET /users"))
	workers.Handle2(s, "UPDATE_USER", func(context.Context, int64, patch) (user, error) { return user{}, nil },
		workers.Route("PUT /users/:id", "PATCH /users/:id"), workers.Timeout(3*time.Second))
	workers.Handle0(s, "RECOUNT", func(context.Context) (int, error) { return 0, nil }, workers.Safe(), workers.Deprecated())
	workers.Handle3(s, "MERGE", func(context.Context, int64, int64, string) (user, error) { return user{}, nil })
	return s
}

func TestManifestIsDerivedFromTypes(t *testing.T) {
	t.Parallel()
	m, err := declared().Declare()
	require.NoError(t, err)
	got, err := json.MarshalIndent(m, "", "  ")
	require.NoError(t, err)
	file := filepath.Join("testdata", "manifest.golden.json")
	if os.Getenv("MAILROOM_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(got))
}

func TestSafety(t *testing.T) {
	t.Parallel()
	s := workers.NewService("users")
	handle := func(context.Context) (int, error) { return 0, nil }
	workers.Handle0(s, "READ", handle, workers.Route("GET /users"))
	workers.Handle0(s, "MIXED", handle, workers.Route("GET /users/mixed", "POST /users/mixed"))
	workers.Handle0(s, "NO_ROUTE", handle)
	workers.Handle0(s, "COUNTED_READ", handle, workers.Route("GET /users/count"), workers.Unsafe())
	workers.Handle0(s, "SEARCH", handle, workers.Route("POST /users/search"), workers.Safe())
	m, err := s.Declare()
	require.NoError(t, err)
	safe := make(map[string]bool)
	for _, a := range m.Actions {
		safe[a.Name] = a.Safe
	}
	assert.Equal(t, map[string]bool{"READ": true, "MIXED": false, "NO_ROUTE": false, "COUNTED_READ": false, "SEARCH": true}, safe)
}

func TestRunReportsEveryFaultOfADeclaration(t *testing.T) {
	t.Parallel()
	s := workers.NewService("Users")
	handle := func(context.Context) (int, error) { return 0, nil }
	one := func(context.Context, int64) (int, error) { return 0, nil }
	two := func(context.Context, int64, int64, filter) (int, error) { return 0, nil }
	workers.Handle0(s, "lower", handle)
	workers.Handle0(s, "TWICE", handle)
	workers.Handle0(s, "TWICE", handle)
	workers.Handle0(s, "SLOW", handle, workers.Timeout(-time.Second))
	workers.Handle0(s, "BOUND", handle, workers.Concurrency(-1))
	workers.Handle0(s, "METHOD", handle, workers.Route("FETCH /Users"))
	workers.Handle0(s, "ELSEWHERE", handle, workers.Route("GET /items"))
	workers.Handle0(s, "TOO_MANY", handle, workers.Route("GET /Users/:id"))
	workers.Handle3(s, "TOO_FEW", two, workers.Route("GET /Users/:id"))
	workers.Handle1(s, "RENAMED", one, workers.Route("POST /Users/:id", "POST /Users/by/:uid"))
	workers.Handle1(s, "SCALAR", one, workers.Route("GET /Users"))
	workers.Handle1(s, "REMOVE", one, workers.Route("DELETE /Users/:id"), workers.Safe())
	workers.Handle0(s, "NO_JSON", func(context.Context) (func(), error) { return func() {}, nil })
	workers.Handle1(s, "CHANNEL", func(context.Context, chan int) (int, error) { return 0, nil })
	_, err := s.Declare()
	for _, name := range []string{
		`"Users"`, `"lower"`, "TWICE is declared twice", "SLOW", "BOUND", "METHOD", "ELSEWHERE", "TOO_MANY", "TOO_FEW", "REMOVE",
		"RENAMED: route \"POST /Users/by/:uid\": its parameters need the names that they have in the first route: id",
		"SCALAR: route \"GET /Users\": the last argument comes from the query", "NO_JSON", "CHANNEL",
	} {
		require.ErrorContains(t, err, name)
	}
	err = workers.Run(t.Context(), workers.Config{RedisURL: "redis://127.0.0.1:1"}, s)
	require.ErrorContains(t, err, "TWICE is declared twice", "nothing starts")
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, workers.Run(t.Context(), workers.Config{RedisURL: "redis://127.0.0.1:1"}), "no service")
	require.ErrorContains(t, workers.Run(t.Context(), workers.Config{RedisURL: "redis://127.0.0.1:1"}, declared(), declared()), "passed twice")
	require.ErrorContains(t, workers.Run(t.Context(), workers.Config{RedisURL: "http://127.0.0.1:1"}, declared()), "scheme")
	err := workers.Run(t.Context(), workers.Config{RedisURL: "redis://127.0.0.1:1", IdleLimit: time.Millisecond}, declared())
	require.ErrorContains(t, err, "idle limit")
}

func TestHandlersCanBeTestedAlone(t *testing.T) {
	t.Parallel()
	ctx := workers.NewContext(t.Context(), workers.Info{RequestID: "r1", Attempt: 2, TraceParent: "t"})
	assert.Equal(t, "r1", workers.RequestID(ctx))
	assert.Equal(t, 2, workers.Attempt(ctx))
	assert.Equal(t, "t", workers.InfoFrom(ctx).TraceParent)
	workers.SetStatus(ctx, 201)
	workers.SetLocation(ctx, "/users/3")
	for _, ignored := range []int{100, 204, 205, 302, 500} {
		workers.SetStatus(ctx, ignored)
	}
	assert.Equal(t, workers.Recorded{Status: 201, Location: "/users/3"}, workers.RecordedIn(ctx))

	outside := t.Context()
	workers.SetStatus(outside, 201)
	workers.SetLocation(outside, "/")
	assert.Empty(t, workers.RequestID(outside))
	assert.Zero(t, workers.Attempt(outside))
	assert.Zero(t, workers.InfoFrom(outside))
	assert.Zero(t, workers.RecordedIn(outside))
}
