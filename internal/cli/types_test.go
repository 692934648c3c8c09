package cli

import (
	"bytes"
	"context"
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

func TestTypesOfLiveServicesAndOfFilesAreTheSame(t *testing.T) {
	t.Parallel()
	redis, err := devredis.Start()
	require.NoError(t, err)
	t.Cleanup(redis.Close)
	s := shop.New(nil, "mailroom") // no request runs
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log, _ := testsupport.Logger(t)
	go func() {
		ended <- workers.Run(ctx, workers.Config{RedisURL: redis.URL(), Logger: log}, s.Users(), s.Items())
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	var live bytes.Buffer
	testsupport.Eventually(t, 10*time.Second, "both services are registered", func() bool {
		live.Reset()
		return run(t.Context(), []string{"types", "users", "items", "--lang", "ts", "--redis", redis.URL()}, nil, &live, io.Discard) == nil
	})
	dir := t.TempDir()
	args := []string{"types", "--lang", "ts", "--out", filepath.Join(dir, "shop.ts")}
	for name, manifest := range map[string]func() ([]byte, error){"users": s.Users().Manifest, "items": s.Items().Manifest} {
		text, err := manifest()
		require.NoError(t, err)
		file := filepath.Join(dir, name+".json")
		require.NoError(t, os.WriteFile(file, text, 0o600))
		args = append(args, "--manifest", file)
	}
	require.NoError(t, run(t.Context(), args, nil, io.Discard, io.Discard))
	code, err := os.ReadFile(filepath.Join(dir, "shop.ts"))
	require.NoError(t, err)
	assert.Equal(t, string(code), live.String())
	assert.Contains(t, live.String(), "getUser(id: number): Promise<GetUserResult>")
}

func TestTypesOfAShortManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	save := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	greet := save("greet.json", `{"service":"greet","actions":[{"name":"HELLO","routes":["GET /greet/:name"]}]}`)
	var out bytes.Buffer
	types := func(args ...string) (int, error) {
		out.Reset()
		err := run(t.Context(), append([]string{"types", "--manifest", greet}, args...), nil, &out, io.Discard)
		return exitCode(err), err
	}
	_, err := types("--lang", "go", "--package", "greet")
	require.NoError(t, err)
	assert.Contains(t, out.String(), "package greet\n")
	assert.Contains(t, out.String(), "Hello(ctx context.Context, name string)")
	for problem, c := range map[string]struct {
		code int
		args []string
	}{
		"missing flags: --lang":                      {exitUsage, nil},
		"--lang must be one of":                      {exitUsage, []string{"--lang", "rust"}},
		"there are two manifests of greet":           {exitUsage, []string{"--lang", "ts", "--manifest", greet}},
		"no such file":                               {exitUsage, []string{"--lang", "ts", "--manifest", filepath.Join(dir, "none")}},
		`there is no manifest of the service "user"`: {exitFailed, []string{"--lang", "ts", "user"}},
		"is not a valid name of a Go package":        {exitUsage, []string{"--lang", "go", "--package", "a-b"}},
		"bad.json: manifest":                         {exitUsage, []string{"--lang", "ts", "--manifest", save("bad.json", `{"service":"bad","actions":7}`)}},
	} {
		code, err := types(c.args...)
		require.ErrorContains(t, err, problem)
		assert.Equal(t, c.code, code, problem)
	}
}
