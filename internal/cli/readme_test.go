package cli

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/testsupport"
)

// TestServicesOfTheDocsRunInModulesOfTheirOwn takes the code of a page into an
// empty module, as a reader does, and checks that its tests pass and that its
// curl commands print what the page says.
func TestServicesOfTheDocsRunInModulesOfTheirOwn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds two programs")
	}
	for page, calls := range map[string]int{"README.md": 1, "docs/tutorial.md": 4} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("..", "..", page))
			require.NoError(t, err)
			dir := notesModule(t, string(text))
			runGo(t, dir, "vet", "./...")
			runGo(t, dir, "test", "./...")
			runGo(t, dir, "build", "-o", "notes", ".")

			redis, err := devredis.Start()
			require.NoError(t, err)
			t.Cleanup(redis.Close)
			address := testsupport.FreeAddr(t)
			start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", address)
			startNotes(t, dir, redis.URL())
			f := fleet{gateways: []string{"http://" + address}, client: newHTTPClient(t)}
			f.serves(t, 20*time.Second, "/notes/1")
			examples := curls(string(text))
			assert.Len(t, examples, calls)
			for _, e := range examples {
				_, _, body := request(t, f.client, e.method, f.gateways[0]+e.path, e.body)
				assert.Regexp(t, e.want, body, e.path)
			}
		})
	}
}

// notesModule makes a module in an empty directory of the Go code of a page. It
// requires this checkout, and needs no network.
func notesModule(t *testing.T, page string) string {
	t.Helper()
	dir := t.TempDir()
	checkout, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	files := make(map[string]string)
	for _, block := range regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindAllStringSubmatch(page, -1) {
		name := "main.go"
		if strings.Contains(block[1], `"testing"`) {
			name = "main_test.go"
		}
		require.NotContains(t, files, name, "the page has two of them")
		files[name] = block[1]
	}
	require.Contains(t, files, "main.go")
	sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	require.NoError(t, err)
	files["go.sum"] = string(sums)
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	runGo(t, dir, "mod", "init", "example.com/notes")
	runGo(t, dir, "mod", "edit", "-replace", "github.com/oskadev/mailroom="+checkout)
	runGo(t, dir, "get", "github.com/oskadev/mailroom")
	return dir
}

// runGo runs the go command in a directory, without a network.
func runGo(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
}

// startNotes runs the built service until the test ends.
func startNotes(t *testing.T, dir, redisURL string) {
	t.Helper()
	var printed testsupport.Output
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(dir, "notes"))
	cmd.Env = append(os.Environ(), "MAILROOM_REDIS_URL="+redisURL)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); !assert.NoError(t, err) || t.Failed() {
			t.Logf("the service printed:\n%s", printed.String())
		}
	})
}

// curlExample is a call of a page and the answer that the page prints.
type curlExample struct {
	method, path, body string
	want               *regexp.Regexp
}

// curls finds the calls of a page whose answers it prints, on the same line
// behind a # or on the next one. "…" in an answer stands for any text.
func curls(page string) []curlExample {
	line := regexp.MustCompile(`curl (?:--json '(.*?)' )?http://127\.0\.0\.1:8080(/notes\S*)(?:\s+# |\n\s+)(\{.*\})`)
	var found []curlExample
	for _, m := range line.FindAllStringSubmatch(page, -1) {
		e := curlExample{method: http.MethodGet, path: m[2], body: m[1]}
		if e.body != "" {
			e.method = http.MethodPost
		}
		e.want = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(m[3]), "…", ".*") + "$")
		found = append(found, e)
	}
	return found
}
