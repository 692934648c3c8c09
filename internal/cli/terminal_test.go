package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/internal/terminal"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// evil sets the title of a terminal, clears it, and changes the order of its text.
const evil = "evil\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp\u2066\u200f\u2028\x7f\r"

// clean checks that an output controls no terminal.
func clean(t *testing.T, what, text string) {
	t.Helper()
	assert.True(t, utf8.ValidString(text), what)
	for _, r := range text {
		if r != '\n' && r != '\t' && r != '?' && terminal.Plain(string(r)) == "?" {
			assert.Fail(t, "a control character reaches the terminal", "%s: %U in %.300q", what, r, text)
			return
		}
	}
}

// A service, its callers and a dead letter cannot control the terminal of an operator, with
// any command.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	server, err := devredis.Start()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	service := workers.NewService("evil", workers.WithVersion("1"+evil))
	workers.Handle1(service, "TELL", func(context.Context, struct{}) (map[string]string, error) {
		return map[string]string{"text": evil}, nil
	}, workers.Route("GET /evil"), workers.Summary("summary"+evil+"\nfaked 1 2 3\tx"))
	workers.Handle1(service, "FAIL", func(context.Context, struct{}) (map[string]string, error) {
		return nil, workers.Fail("EVIL", 400, evil)
	}, workers.Route("POST /evil"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log, _ := testsupport.Logger(t)
	go func() { ended <- workers.Run(ctx, workers.Config{RedisURL: server.URL(), Logger: log}, service) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	conn, err := bus.Connect(server.URL(), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.Redis().XAdd(ctx, &redis.XAddArgs{Stream: conn.Keys.Dead("evil"), Values: []string{
		"id", "0190a1b2-0000-7000-8000-000000000001" + evil, "action", "TELL" + evil, "args", "[\"" + evil + "\xff\"]", "error", "marker" + evil + "\nfaked", "attempts", "5", "dead_at", "1700000000000",
	}}).Err())
	require.NoError(t, admin.Audit(ctx, conn, admin.AuditLine{Who: "marker" + evil, What: "replay", Service: "evil", Target: evil}))

	mailroom := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		code := execute(append(args, "--redis", server.URL()), nil, &out, &errs)
		text := out.String() + errs.String()
		clean(t, strings.Join(args, " "), text)
		return text, code
	}
	testsupport.Eventually(t, 20*time.Second, "the service is listed", func() bool {
		text, code := mailroom("services", "evil")
		return code == 0 && strings.Contains(text, "summary")
	})
	text, _ := mailroom("services", "evil")
	assert.NotContains(t, text, "\nfaked", "a text cannot add a line")
	for _, args := range [][]string{
		{"services", "--json"},
		{"openapi"},
		{"types", "evil", "--lang", "ts"},
		{"types", "evil", "--lang", "python"},
		{"types", "evil", "--lang", "go"},
		{"call", "evil", "TELL", "{}"},
		{"call", "evil", "FAIL", "{}"},
		{"top", "--once"},
		{"top", "--once", "--json"},
		{"dead", "show", "evil", "--all"},
		{"dead", "list", "evil", "--json"},
		{"audit"},
		{"audit", "--json"},
	} {
		text, _ := mailroom(args...)
		assert.Contains(t, text, "evil", args)
	}
	for _, args := range [][]string{{"call", "evil", "TELL", "{}"}, {"call", "evil", "FAIL", "{}"}, {"openapi"}, {"services", "--json"}} {
		text, _ := mailroom(args...)
		assert.True(t, json.Valid([]byte(text)), "%s: %.300s", args, text)
	}
	text, _ = mailroom("call", "evil", "TELL", "{}")
	var envelope struct{ Result struct{ Text string } }
	require.NoError(t, json.Unmarshal([]byte(text), &envelope))
	assert.Equal(t, evil, envelope.Result.Text, "JSON keeps its meaning")
	text, _ = mailroom("dead", "list", "evil")
	assert.Contains(t, text, "marker")
	assert.Len(t, strings.Split(strings.TrimSpace(text), "\n"), 2, "a text cannot add a line")

	for _, command := range [][]string{{"types", "evil", "--lang", "ts"}, {"openapi"}} {
		file := filepath.Join(t.TempDir(), "out")
		mailroom(append(command, "--out", file)...)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		clean(t, "a generated file", string(text))
	}
	for _, args := range [][]string{
		{"call", "evil" + evil, "TELL"},
		{"call", "evil", "NO" + evil},
		{"services", evil},
		{"dead", "show", "evil", evil},
		{"ticket", "evil." + evil},
		{"keys", "create", "--name", evil},
		{"keys", "revoke", evil},
		{evil},
		{"--log-level", evil},
		{"versions", "show", evil},
		{"types", evil, "--lang", "ts"},
	} {
		_, code := mailroom(args...)
		assert.NotZero(t, code, args)
	}

	following, end := context.WithCancel(ctx)
	defer end()
	var tail testsupport.Output
	var tails sync.WaitGroup
	tails.Go(func() {
		assert.NoError(t, run(following, []string{"tail", "evil", "--args", "--redis", server.URL()}, nil, &tail, &tail))
	})
	testsupport.Eventually(t, 20*time.Second, "tail prints a request", func() bool {
		mailroom("call", "evil", "FAIL", "{}")
		return strings.Contains(tail.String(), "EVIL")
	})
	end()
	tails.Wait()
	clean(t, "tail", tail.String())
}
