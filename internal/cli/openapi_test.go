package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	redis, err := devredis.Start()
	require.NoError(t, err)
	t.Cleanup(redis.Close)
	s := shop.New(nil, "mailroom") // no request runs
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log, _ := testsupport.Logger(t)
	go func() {
		ended <- workers.Run(ctx, workers.Config{RedisURL: redis.URL(), Logger: log}, s.Users(), s.Payments())
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	document := func(args ...string) (paths map[string]any, err error) {
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"openapi", "--redis", redis.URL()}, args...), nil, &out, io.Discard); err != nil {
			return nil, err
		}
		var doc struct{ Paths map[string]any }
		return doc.Paths, json.Unmarshal(out.Bytes(), &doc)
	}
	testsupport.Eventually(t, 10*time.Second, "both services are in the document", func() bool {
		paths, err := document()
		return err == nil && paths["/users/{id}"] != nil && paths["/payments"] != nil
	})
	paths, err := document("--version", "v3")
	require.NoError(t, err)
	assert.Contains(t, paths, "/v3/payments")
	assert.Contains(t, paths, "/v3/users/{id}")

	file := filepath.Join(t.TempDir(), "versions.yaml")
	require.NoError(t, os.WriteFile(file, []byte("versions: {v7: }"), 0o600))
	paths, err = document("--version", "v7", "--versions", file)
	require.NoError(t, err)
	assert.Contains(t, paths, "/v7/payments")
	_, err = document("--version", "v3", "--versions", file)
	require.ErrorContains(t, err, `the versions file has no version "v3"`)
	assert.Equal(t, exitUsage, exitCode(err))
	_, err = document("--auth", "maybe")
	require.ErrorContains(t, err, "maybe")

	out := filepath.Join(t.TempDir(), "openapi.json")
	require.NoError(t, run(t.Context(), []string{"openapi", "--redis", redis.URL(), "--auth", "none", "--out", out}, nil, io.Discard, io.Discard))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Contains(t, string(text), "\n  \"security\": [],\n")
}
