package isolation

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// A service answers its step of a composition with a success that is no JSON. The client gets no success of the
// composition, and nothing is paid.
func TestForgedSuccessOfAStep(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	users := s.rogue("users")
	live, err := s.admin().ZRange(t.Context(), s.keys.Workers("users"), 0, -1).Result()
	require.NoError(t, err)
	require.Len(t, live, 1)
	_, digest, _ := strings.Cut(live[0], " ")
	manifest, err := users.Get(t.Context(), s.keys.Manifest("users", digest)).Result()
	require.NoError(t, err)
	s.workers["users"].Kill()
	users.registers(t.Context(), digest, manifest)
	key := "X-Api-Key: " + s.key("ada", "payments:write")
	paid := s.do(http.MethodGet, "/payments?user_id=1", "", key).body
	for _, forged := range []string{
		`{"ok":true,"result":{"id":1,"purchasable":true},}`, `{"ok":true,"result":{"id":1`, `{"ok":true,"result":1,"ok":false}`, `{"ok":true,"result":1}x`,
	} {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			users.works(ctx, func(q asked) { users.Publish(ctx, q.channel, q.line("", forged)) })
		}()
		a := s.do(http.MethodPost, "/v2/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":500}`, key)
		stop()
		<-done
		assert.Equal(t, http.StatusInternalServerError, a.status, "%s: %s", forged, a.body)
		assert.Contains(t, a.body, `"code":"INTERNAL"`)
	}
	assert.Equal(t, paid, s.do(http.MethodGet, "/payments?user_id=1", "", key).body)
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/echo/1", "", key).status)
}

// A service writes its own cache entries, with statuses that mean something else to a proxy.
func TestForgedCacheEntries(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--near-bytes", "0")
	users, key := s.rogue("users"), "X-Api-Key: "+s.key("ada")
	entry := ""
	testsupport.Eventually(t, patience, "an answer is cached", func() bool {
		s.do(http.MethodGet, "/users/2", "", key)
		found, _ := s.admin().Keys(t.Context(), s.keys.Tagged("users", "cached:*")).Result()
		for _, name := range found {
			text, _ := users.Get(t.Context(), name).Result()
			if strings.Contains(text, `"id":2,`) {
				entry = name
			}
		}
		return entry != ""
	})
	stored, err := users.Get(t.Context(), entry).Result()
	require.NoError(t, err)
	words := strings.SplitN(stored, " ", 4) // nonces, life, ETag, and the rest
	forge := func(etag, status string) {
		text := words[0] + " " + words[1] + " " + etag + " " + status + ` - {"ok":true,"result":"forged"}`
		require.NoError(t, users.Set(t.Context(), entry, text, 2*time.Hour).Err())
	}
	forge(`"valid"`, "202")
	require.Equal(t, 202, s.do(http.MethodGet, "/users/2", "", key).status, "the test forges what gateways read")
	for etag, statuses := range map[string][]string{
		`"valid"`: {"101", "100", "103", "204", "205", "304", "1000", "-1", "0", "x"}, "none": {"200"}, "\"a\r\nX-Injected:1\"": {"200"},
	} {
		for _, status := range statuses {
			forge(etag, status)
			a := s.do(http.MethodGet, "/users/2", "", key)
			assert.Equal(t, http.StatusOK, a.status, "status %s: %s", status, a.body)
			assert.NotContains(t, a.body, "forged")
			assert.Empty(t, a.header.Get("X-Injected"))
		}
	}
}

// A service has the right to neither run Lua of its own nor stop Redis nor look at the others.
func TestServicesRunNoLua(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	evil := s.rogue("evil")
	own := s.keys.Tagged("evil", "x")
	for _, command := range [][]any{
		{"EVAL", "redis.call('SET', KEYS[1], 1) while true do end", 1, own},
		{"EVAL_RO", "while true do end", 1, own},
		{"EVALSHA", "x", 1, own},
		{"SCRIPT", "LOAD", "return 1"},
		{"SCRIPT", "FLUSH"},
		{"SCRIPT", "KILL"},
		{"FUNCTION", "LOAD", "REPLACE", "#!lua name=mailroom\n"},
		{"FUNCTION", "DELETE", "mailroom"},
		{"FUNCTION", "FLUSH"},
		{"FUNCTION", "LIST"},
		{"FUNCTION", "DUMP"},
		{"FUNCTION", "KILL"},
		{"KEYS", "*"},
		{"SCAN", 0},
		{"RANDOMKEY"},
		{"FLUSHALL"},
		{"FLUSHDB"},
		{"SWAPDB", 0, 1},
		{"CONFIG", "SET", "maxmemory", "1"},
		{"SHUTDOWN", "NOSAVE"},
		{"CLIENT", "KILL", "TYPE", "normal"},
		{"CLIENT", "PAUSE", 1000},
		{"CLIENT", "LIST"},
		{"ACL", "LIST"},
		{"ACL", "SETUSER", "evil", "allkeys"},
		{"MONITOR"},
		{"REPLICAOF", "127.0.0.1", "1"},
		{"SAVE"},
		{"BGREWRITEAOF"},
		{"MODULE", "LIST"},
		{"SORT", own},
		{"PSUBSCRIBE", "*"},
		{"MIGRATE", "h", 1, own, 0, 1},
	} {
		err := evil.Do(t.Context(), command...).Err()
		require.Error(t, err, "%v", command)
		assert.True(t, strings.HasPrefix(err.Error(), "NOPERM"), "%v: %v", command, err)
	}
	library, err := s.admin().FunctionList(t.Context(), redis.FunctionListQuery{LibraryNamePattern: "*mailroom*"}).Result()
	require.NoError(t, err)
	require.NotEmpty(t, library)
	name := ""
	for _, l := range library {
		for _, f := range l.Functions {
			if strings.HasPrefix(f.Name, "mailroom_keep_") {
				name = f.Name
			}
		}
	}
	require.NotEmpty(t, name)
	require.NoError(t, evil.XGroupCreateMkStream(t.Context(), s.keys.Requests("evil"), "workers", "0").Err())
	assert.NoError(t, evil.FCall(t.Context(), name, []string{s.keys.Requests("evil")}, "evil.rogue").Err(), "the functions of the protocol")
	assert.ErrorContains(t, evil.FCall(t.Context(), name, []string{s.keys.Requests("users")}, "evil.rogue").Err(), "NOPERM")
}

// A service writes and reads nothing of others, and speaks on no channel of theirs.
func TestServicesReachNoOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	evil, k := s.rogue("evil"), s.keys
	commands := [][]any{
		{"GET", k.Secret()},
		{"HGETALL", k.APIKeys()},
		{"HSET", k.APIKeys(), "x", "{}"},
		{"SMEMBERS", k.Services()},
		{"SREM", k.Services(), "users"},
		{"DEL", k.Services()},
		{"SET", k.Gateway("x"), "1"},
		{"ZADD", k.Gateways(), 1, "x"},
		{"XADD", k.Audit(), "*", "a", "b"},
		{"XADD", k.Requests("compositions"), "*", "v", "1"},
		{"GET", "rate:" + k.Namespace() + ":x"},
		{"SET", k.Namespace() + ":{users", "1"},
		{"SET", "{evil}", "1"},
		{"SET", k.Namespace() + ":{evil}", "1"},
		{"PUBLISH", k.Replies("api.x", "users"), "x"},
		{"PUBLISH", k.Replies("users.x", "items"), "x"},
		{"PUBLISH", k.Ping("api.x"), "x"},
		{"PUBLISH", k.Namespace() + ":dropped:{users}", "x"},
		{"PUBLISH", k.Namespace() + ":flights:x", "x"},
		{"SUBSCRIBE", k.Replies("api.x", "users")},
		{"SUBSCRIBE", k.Ping("api.x")},
		{"SUBSCRIBE", k.Registry()},
		{"RENAME", k.Tagged("evil", "x"), k.Record("users", "1")},
		{"COPY", k.Record("users", "1"), k.Tagged("evil", "x")},
		{"SMOVE", k.Services(), k.Tagged("evil", "x"), "users"},
		{"XREADGROUP", "GROUP", "workers", "evil.1", "STREAMS", k.Requests("users"), ">"},
	}
	for _, service := range append(services(), "compositions") {
		for _, key := range []string{
			k.Requests(service), k.Dead(service), k.Workers(service), k.Paused(service), k.Recent(service), k.Record(service, "1"), k.Body(service, "1"),
			k.Lane(service, "x"), k.Waiting(service), k.Manifest(service, "x"), k.Tagged(service, "cached:x"), k.Tagged(service, "tag:x"), k.Tagged(service, "stored"),
		} {
			commands = append(commands, []any{"SET", key, "1"}, []any{"DEL", key}, []any{"GET", key}, []any{"XADD", key, "*", "a", "b"}, []any{"HSET", key, "a", "b"})
		}
	}
	for _, command := range commands {
		err := evil.Do(t.Context(), command...).Err()
		require.Error(t, err, "%v", command)
		assert.True(t, strings.HasPrefix(err.Error(), "NOPERM"), "%v: %v", command, err)
	}
	assert.Equal(t, http.StatusOK, s.do(http.MethodGet, "/readyz", "").status)
}

// A service fills everything that gateways read of services: names, workers, digests, manifests, hints.
func TestFloodOfTheRegistry(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t)
	evil := s.rogue("evil")
	fill := func(name string, n int, add func(pipe redis.Pipeliner, from int)) {
		for i := 0; i < n; i += 1000 {
			pipe := evil.Pipeline()
			add(pipe, i)
			pipe.Publish(t.Context(), s.keys.Registry(), "evil")
			_, err := pipe.Exec(t.Context())
			require.NoError(t, err, name)
		}
	}
	members := func(pipe redis.Pipeliner, from int, digest string) {
		for i := from; i < from+1000; i++ {
			pipe.ZAdd(t.Context(), s.keys.Workers("evil"), evil.member(fmt.Sprintf("evil.%d %s", i, strings.ReplaceAll(digest, "#", strconv.Itoa(i)))))
		}
	}
	var defs strings.Builder
	for i := range 40 {
		fmt.Fprintf(&defs, `"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	declares := func(schema string) string {
		return strings.Replace(evilManifest, `"args":[]`, `"args":[{"name":"input","in":"query","schema":`+schema+`}]`, 1)
	}
	deep := declares(strings.Repeat(`{"items":`, 4900) + "{}" + strings.Repeat("}", 4900))
	double := declares(`{"$ref":"#/$defs/a0","$defs":{` + defs.String() + `"a40":{}}}`)
	s.attack("flood of the registry", 10*time.Second, func(ctx context.Context) {
		evil.registers(ctx, "deep", deep)
		evil.registers(ctx, "double", double)
		fill("names", 100_000, func(pipe redis.Pipeliner, from int) {
			names := make([]any, 1000)
			for i := range names {
				names[i] = fmt.Sprintf("bogus-%d", from+i)
			}
			pipe.SAdd(ctx, s.keys.Services(), names...)
		})
		fill("workers", 100_000, func(pipe redis.Pipeliner, from int) { members(pipe, from, "deep") })
		fill("digests", 50_000, func(pipe redis.Pipeliner, from int) { members(pipe, from, "d#") })
		for i := 0; ctx.Err() == nil; i++ {
			pipe := evil.Pipeline()
			for j := range 100 {
				pipe.Publish(ctx, s.keys.Registry(), fmt.Sprintf("bogus-%d-%d", i, j))
			}
			_, _ = pipe.Exec(ctx)
			pause(ctx, 5*time.Millisecond)
		}
	})
	key := "X-Api-Key: " + s.key("ada")
	status := func() int { return s.do(http.MethodGet, "/vouchers/WELCOME10", "", key).status }
	require.NoError(t, s.workers["vouchers"].Signal(syscall.SIGTERM))
	testsupport.Eventually(t, 10*time.Second, "a service that ended is noticed", func() bool { return status() == http.StatusServiceUnavailable })
	s.start("vouchers", "worker", "vouchers")
	testsupport.Eventually(t, 10*time.Second, "a service that starts is noticed", func() bool { return status() == http.StatusOK })
}

// A service answers with far more than a gateway may read, and with what is no reply.
func TestFloodOfReplies(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t)
	evil, key := s.rogue("evil"), "X-Api-Key: "+s.key("mallory")
	evil.registers(t.Context(), "good", evilManifest)
	call := func(ctx context.Context, method string) answer {
		ctx, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		return s.doBy(ctx, s.client, method, "/evil", "", key)
	}
	// The gateway listens to a service that it was muted for only when it is called again.
	called := func(attack func(ctx context.Context)) func(ctx context.Context) {
		return func(ctx context.Context) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					call(ctx, http.MethodGet)
					pause(ctx, 100*time.Millisecond)
				}
			}()
			attack(ctx)
			<-done
		}
	}
	channel := evil.channel(func() { call(t.Context(), http.MethodGet) })
	logged := len(s.gateway.Printed.String())
	o := s.load()
	// Redis takes no value over its proto-max-bulk-len, which is 20 MB here.
	huge := strings.Repeat("x", 19<<20)

	s.attackOn(o, "garbage lines", 5*time.Second, called(func(ctx context.Context) {
		garbage := strings.Repeat("garbage\n", 1000)
		for ctx.Err() == nil {
			_ = evil.Publish(ctx, channel, garbage).Err()
		}
	}))
	assert.Less(t, len(s.gateway.Printed.String())-logged, 20_000, "bytes of the log")
	assert.True(t, s.gateway.Printed.Contains("floods the channel of its replies"), "the service is muted")

	// Redis serves nobody while it copies a value. No limit of a gateway changes that; docs/explanation/security.md says so.
	o.floor = max(floor, 60*time.Millisecond)
	stored := 0
	s.attackOn(o, "stored outcomes of 19 MB", 6*time.Second, func(ctx context.Context) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			evil.works(ctx, func(q asked) {
				record := s.keys.Record("evil", q.id)
				stored++
				evil.HSet(ctx, record, "state", "done", "outcome", `- {"ok":true,"result":"`+huge+`"}`)
				evil.Publish(ctx, q.channel, q.line(",stored=1", "-"))
				pause(ctx, time.Second)
				evil.Del(ctx, record)
			})
		}()
		for ctx.Err() == nil {
			a := call(ctx, http.MethodGet)
			assert.NotEqual(t, http.StatusOK, a.status)
			a = call(ctx, http.MethodPost)
			assert.NotEqual(t, http.StatusOK, a.status)
		}
		<-done
	})
	assert.Positive(t, stored, "the gateway calls the service again, which was muted for a while")

	s.attackOn(o, "messages of 19 MB", 12*time.Second, called(func(ctx context.Context) {
		for ctx.Err() == nil {
			pipe := evil.Pipeline()
			for range 3 {
				pipe.Publish(ctx, channel, huge)
			}
			_, _ = pipe.Exec(ctx)
			pause(ctx, 500*time.Millisecond)
		}
	}))
}
