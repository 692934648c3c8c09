package workers_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// A service with its own Redis user calls the services that it has the right to call, and no others.
func TestCallWithRights(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	log, _ := testsupport.Logger(t)
	connect := func(url, user string) *bus.Conn {
		opts := bus.Options{Logger: log}
		if user != "" {
			url = strings.Replace(url, "://", "://"+user+"@", 1)
			opts.Credentials.PasswordFile = filepath.Join(t.TempDir(), "password")
			require.NoError(t, os.WriteFile(opts.Credentials.PasswordFile, []byte("open sesame"), 0o600))
		}
		conn, err := bus.Connect(url, opts)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	root := connect(redis.URL(), "")
	for name, access := range map[string]admin.WorkerAccess{
		"front": {Services: []string{"front"}, Calls: []string{"items"}, Reads: []string{"users"}},
		"items": {Services: []string{"items"}}, "users": {Services: []string{"users"}}, "secrets": {Services: []string{"secrets"}},
	} {
		user, err := admin.WorkerUser(name, root.Keys, access)
		require.NoError(t, err)
		user.Passwords = []string{"open sesame"}
		_, err = admin.ApplyACL(t.Context(), root, user)
		require.NoError(t, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	serve := func(s *workers.Service) {
		conn := connect(redis.URL(), s.Name())
		running.Go(func() {
			assert.NoError(t, workers.Run(busctx.With(ctx, conn), workers.Config{Logger: log}, s))
		})
	}
	for _, name := range []string{"items", "users", "secrets"} {
		s := workers.NewService(name)
		answer := func(context.Context, int64) (string, error) { return strings.Repeat(name, 20_000), nil } // longer than is published
		workers.Handle1(s, "READ", answer, workers.Safe())
		workers.Handle1(s, "CACHED", answer, workers.Safe(), workers.Cache(time.Minute, "thing:{0}"))
		workers.Handle1(s, "CHANGE", answer, workers.Lane("thing:{0}"))
		serve(s)
	}
	front := workers.NewService("front")
	type errand struct {
		Service string `json:"service"`
		Action  string `json:"action"`
	}
	workers.Handle1(front, "ASK", func(ctx context.Context, e errand) (int, error) {
		text, err := workers.CallFor[string](ctx, e.Service, e.Action, 7)
		return len(text), err
	}, workers.Timeout(8*time.Second))
	serve(front)

	registry := registry.New(root, nil)
	testsupport.Eventually(t, 10*time.Second, "all serve", func() bool {
		return registry.Look(t.Context()) == nil && len(registry.Snapshot()) == 4
	})
	client := caller.New(root, caller.Config{})
	t.Cleanup(client.Close)
	for i, c := range []struct{ service, action, want string }{
		{"items", "READ", "100000"},
		{"items", "CACHED", "100000"},
		{"items", "CACHED", "100000"},
		{"items", "CHANGE", "100000"},
		{"users", "READ", "100000"},
		{"users", "CACHED", "100000"},
		{"users", "CHANGE", "UNAVAILABLE"},
		{"secrets", "READ", "INTERNAL"},
		{"users", "READ", "100000"},
		{"users", "READ", "100000"},
		{"items", "READ", "100000"}, // subscribed anew
	} {
		if i == 9 {
			redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
		args, err := json.Marshal([]errand{{c.service, c.action}})
		require.NoError(t, err)
		reply, err := client.Do(t.Context(), &caller.Call{Service: "front", Action: "ASK", Args: string(args)})
		require.NoError(t, err)
		assert.Contains(t, reply.Envelope, c.want, "%s %s", c.service, c.action)
	}
}
