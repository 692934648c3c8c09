package echo

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

// routes lists the actions of a service with their routes.
func routes(t *testing.T, service *workers.Service) map[string][]string {
	t.Helper()
	text, err := service.Manifest()
	require.NoError(t, err)
	manifest, err := wire.ParseManifest(text)
	require.NoError(t, err)
	require.Equal(t, "echo", manifest.Service)
	found := map[string][]string{}
	for _, action := range manifest.Actions {
		found[action.Name] = action.Routes
	}
	return found
}

func TestActionsAndRoutes(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"GET_ECHO":   {"GET /echo/:id"},
		"ECHO":       {"POST /echo"},
		"SLEEP":      {"POST /echo/sleep"},
		"CACHED":     {"GET /echo/:id/cached"},
		"TOUCH":      {"POST /echo/:id/touch"},
		"APPEND":     {"POST /echo/:id/append"},
		"LOG":        {"GET /echo/:id/log"},
		"INVALIDATE": nil,
		"FAIL":       {"POST /echo/fail"},
		"PANIC":      {"POST /echo/panic"},
	}
	require.Equal(t, want, routes(t, Service(nil, "test")))
	want["EXIT"] = []string{"POST /echo/exit"}
	require.Equal(t, want, routes(t, Service(nil, "test", WithExit())))
}

func TestGetEchoReturnsExactlyTheseBytes(t *testing.T) {
	t.Parallel()
	record, err := handlers{}.get(t.Context(), 1)
	require.NoError(t, err)
	text, err := json.Marshal(record)
	require.NoError(t, err)
	require.Equal(t, `{"id":1,"name":"Oska","email":"oska@example.com"}`, string(text))
}

func TestEchoReturnsItsArgumentUnchanged(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`,
		`{"big":9007199254740993,"exact":1.0,"huge":1e400}`,
		`{"nested":{"z":[1,null,true],"a":"ü"}}`,
	} {
		var in Object
		require.NoError(t, json.Unmarshal([]byte(text), &in))
		out, err := handlers{}.echo(t.Context(), in)
		require.NoError(t, err)
		back, err := json.Marshal(out)
		require.NoError(t, err)
		require.Equal(t, text, string(back))
	}
}

func TestEchoTakesAnyObject(t *testing.T) {
	t.Parallel()
	text, err := Service(nil, "test").Manifest()
	require.NoError(t, err)
	manifest, err := wire.ParseManifest(text)
	require.NoError(t, err)
	for _, action := range manifest.Actions {
		if action.Name == "ECHO" {
			require.JSONEq(t, `{"type":"object","additionalProperties":true}`, string(action.Args[0].Schema))
			return
		}
	}
	t.Fatal("the service has no action ECHO")
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, ms := range []int64{0, 250, maxNap} {
			began := time.Now()
			slept, err := handlers{}.sleep(t.Context(), Nap{MS: ms})
			require.NoError(t, err)
			require.Equal(t, Slept{Slept: ms}, slept)
			require.Equal(t, ms, time.Since(began).Milliseconds())
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := handlers{}.sleep(ctx, Nap{MS: 60_000})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestSleepRefusesTimesOutOfRange(t *testing.T) {
	t.Parallel()
	for _, ms := range []int64{-1, maxNap + 1} {
		_, err := handlers{}.sleep(t.Context(), Nap{MS: ms})
		requireRefused(t, err, "BAD_REQUEST", 400)
	}
}
