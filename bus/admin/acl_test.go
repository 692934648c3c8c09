package admin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// guard is a Redis with a user for each role: api, and the services users and
// items.
type guard struct {
	redis *testsupport.RedisServer
	keys  wire.Keys
	admin *bus.Conn
}

func password(user string) string { return user + "'s password" }

func newGuard(t *testing.T) *guard {
	t.Helper()
	// New users may use all channels by default.
	g := &guard{redis: testsupport.StartRedis(t, "--acl-pubsub-default", "allchannels")}
	g.admin = g.connect(t, "", g.redis.URL())
	g.keys = g.admin.Keys
	g.apply(t)
	return g
}

func (g *guard) users(t *testing.T) []admin.ACLUser {
	t.Helper()
	keys, err := wire.NewKeys(wire.DefaultNamespace)
	require.NoError(t, err)
	api, err := admin.GatewayUser("api", keys, admin.GatewayAccess{})
	require.NoError(t, err)
	users, err := admin.WorkerUser("users", keys, admin.WorkerAccess{Services: []string{"users"}})
	require.NoError(t, err)
	items, err := admin.WorkerUser("items", keys, admin.WorkerAccess{Services: []string{"items"}})
	require.NoError(t, err)
	all := []admin.ACLUser{api, users, items}
	for i := range all {
		all[i].Passwords = []string{password(all[i].Name)}
	}
	return all
}

func (g *guard) apply(t *testing.T) (saved bool) {
	t.Helper()
	for _, user := range g.users(t) {
		var err error
		saved, err = admin.ApplyACL(t.Context(), g.admin, user)
		require.NoError(t, err)
	}
	return saved
}

func (g *guard) connect(t *testing.T, user, url string) *bus.Conn {
	t.Helper()
	log, _ := testsupport.Logger(t)
	opts := bus.Options{Logger: log}
	if user != "" {
		url = strings.Replace(url, "://", "://"+user+"@", 1)
		opts.Credentials.PasswordFile = filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(opts.Credentials.PasswordFile, []byte(password(user)+"\n"), 0o600))
	}
	conn, err := bus.Connect(url, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// may asks Redis whether a user has the right to a command.
func (g *guard) may(t *testing.T, user string, command ...any) bool {
	t.Helper()
	said := fmt.Sprint(g.redis.Do(append([]any{"ACL", "DRYRUN", user}, command...)...))
	if said != "OK" {
		require.Contains(t, said, "no permissions", "%v", command)
	}
	return said == "OK"
}

// keyed returns commands on one key by purpose.
func keyed(key string) map[string][]any {
	return map[string][]any{
		"get": {"GET", key}, "mget": {"MGET", key}, "set": {"SET", key, "x"}, "setnx": {"SETNX", key, "x"}, "append": {"APPEND", key, "x"},
		"del": {"DEL", key}, "unlink": {"UNLINK", key}, "expire": {"EXPIRE", key, "1"}, "pexpire": {"PEXPIRE", key, "1"}, "pttl": {"PTTL", key},
		"persist": {"PERSIST", key}, "exists": {"EXISTS", key}, "rename": {"RENAME", key, key}, "copy": {"COPY", key, key},
		"dump": {"DUMP", key}, "restore": {"RESTORE", key, "0", "x"}, "object": {"OBJECT", "ENCODING", key}, "sort": {"SORT", key},
		"hget": {"HGET", key, "f"}, "hmget": {"HMGET", key, "f"}, "hstrlen": {"HSTRLEN", key, "f"}, "hgetall": {"HGETALL", key}, "hset": {"HSET", key, "f", "v"}, "hdel": {"HDEL", key, "f"},
		"sadd": {"SADD", key, "m"}, "srem": {"SREM", key, "m"}, "smembers": {"SMEMBERS", key}, "sscan": {"SSCAN", key, "0"}, "strlen": {"STRLEN", key}, "zcount": {"ZCOUNT", key, "0", "1"},
		"zadd": {"ZADD", key, "1", "m"}, "zrem": {"ZREM", key, "m"}, "zrangebyscore": {"ZRANGEBYSCORE", key, "-inf", "+inf"},
		"xadd": {"XADD", key, "*", "f", "v"}, "xlen": {"XLEN", key}, "xrange": {"XRANGE", key, "-", "+"}, "xread": {"XREAD", "STREAMS", key, "0"},
		"xreadgroup": {"XREADGROUP", "GROUP", "workers", "me", "STREAMS", key, ">"}, "xack": {"XACK", key, "workers", "1-1"},
		"xclaim": {"XCLAIM", key, "workers", "me", "0", "1-1"}, "xautoclaim": {"XAUTOCLAIM", key, "workers", "me", "0", "0"},
		"xpending": {"XPENDING", key, "workers"}, "xdel": {"XDEL", key, "1-1"}, "xtrim": {"XTRIM", key, "MAXLEN", "0"}, "xsetid": {"XSETID", key, "1-1"},
		"xgroup create": {"XGROUP", "CREATE", key, "g", "0"}, "xgroup destroy": {"XGROUP", "DESTROY", key, "workers"},
		"xgroup delconsumer": {"XGROUP", "DELCONSUMER", key, "workers", "me"}, "xgroup setid": {"XGROUP", "SETID", key, "workers", "0"},
		"xinfo stream": {"XINFO", "STREAM", key}, "xinfo groups": {"XINFO", "GROUPS", key}, "xinfo consumers": {"XINFO", "CONSUMERS", key, "workers"},
		"eval": {"EVAL", "return 1", "1", key}, "evalsha": {"EVALSHA", "x", "1", key}, "fcall": {"FCALL", "f", "1", key}, "incr": {"INCR", key},
		"lpush": {"LPUSH", key, "x"}, "rpush": {"RPUSH", key, "x"}, "lpop": {"LPOP", key}, "rpop": {"RPOP", key}, "lrange": {"LRANGE", key, "0", "1"},
		"lset": {"LSET", key, "0", "x"}, "lindex": {"LINDEX", key, "0"}, "lrem": {"LREM", key, "1", "x"}, "hincrby": {"HINCRBY", key, "f", "1"}, "migrate": {"MIGRATE", "h", "1", key, "0", "1"}, "watch": {"WATCH", key},
	}
}

// kinds are the keys of a service.
func kinds() []string {
	return []string{"requests", "dead", "workers", "req:1", "manifest:1", "cached:1", "lease:1", "handed:1", "tag:1", "lane:1", "parked", "stored:1", "shop:record:1"}
}

func TestRightsOnKeys(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	const cached = "fcall get mget set append del pttl pexpire"
	gateway := map[string]string{
		"{users}:requests":   "xadd xlen xrange xpending,xinfo stream,xinfo groups,xdel fcall",
		"{users}:req:1":      "get hget hmget hstrlen strlen hset hdel del pexpire fcall",
		"{users}:lane:1":     "rpush lpush rpop lpop lset lindex lrange lrem exists",
		"{users}:parked":     "hget hgetall hincrby hdel",
		"{users}:stored:1":   "hmget hgetall hset hdel hincrby pttl pexpire",
		"{users}:dead":       "xlen",
		"{users}:workers":    "zrangebyscore zcount",
		"{users}:manifest:1": "get strlen",
		"{users}:cached:1":   cached, "{users}:lease:1": cached, "{users}:handed:1": cached, "{users}:tag:1": cached,
		"services": "smembers sscan", "secret": "setnx get", "keys": "hget",
	}
	var keys []string
	for _, service := range []string{"users", "items"} {
		for _, kind := range kinds() {
			keys = append(keys, "{"+service+"}:"+kind)
		}
	}
	keys = append(keys, "services", "secret", "keys", "anything")
	for _, name := range keys {
		key := wire.DefaultNamespace + ":" + name
		own := strings.HasPrefix(name, "{users}:")
		allowed := strings.FieldsFunc(strings.ReplaceAll(gateway[strings.Replace(name, "{items}", "{users}", 1)], "xinfo ", "xinfo_"), func(r rune) bool {
			return r == ' ' || r == ','
		})
		for what, command := range keyed(key) {
			wanted := slices.Contains(allowed, strings.ReplaceAll(what, " ", "_"))
			assert.Equal(t, wanted, g.may(t, "api", command...), "api: %v", command)
			if name == "services" {
				wanted = what == "sadd"
			} else {
				wanted = own && !slices.Contains(neverWorkers(), what)
			}
			assert.Equal(t, wanted, g.may(t, "users", command...), "users: %v", command)
		}
	}
	for what, command := range keyed("rate:" + wire.DefaultNamespace + ":1.2.3.4") {
		assert.Equal(t, slices.Contains(strings.Fields("eval evalsha get set expire pexpire pttl incr del"), what), g.may(t, "api", command...), "api: %v", command)
		assert.False(t, g.may(t, "users", command...), "users: %v", command)
	}
	for what, command := range keyed("other:{users}:requests") {
		assert.False(t, g.may(t, "api", command...), "another namespace, api: %s", what)
		assert.False(t, g.may(t, "users", command...), "another namespace, users: %s", what)
	}
}

// neverWorkers are what no worker may do, not even with its own keys.
func neverWorkers() []string {
	return []string{
		"dump", "restore", "object", "sort", "xread", "xautoclaim", "xtrim", "xsetid", "xgroup destroy", "xgroup setid", "eval", "evalsha", "migrate",
	}
}

func TestNobodyRulesTheServer(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	for _, command := range []string{
		"KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN",
		"CONFIG GET maxmemory", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "SCRIPT FLUSH", "SCRIPT LOAD x", "SCRIPT KILL", "FUNCTION FLUSH", "FUNCTION LOAD x",
		"DEBUG SLEEP 1", "ACL LIST", "ACL WHOAMI", "ACL SETUSER x", "ACL DELUSER api", "ACL LOG", "CLIENT LIST", "CLIENT KILL 1.1.1.1:1", "CLIENT PAUSE 1",
		"MONITOR", "MODULE LIST", "REPLICAOF NO ONE", "SYNC", "PSYNC ? -1", "SLOWLOG GET", "LATENCY LATEST", "MEMORY USAGE x", "INFO", "INFO server",
		"PUBSUB CHANNELS", "CLUSTER RESET", "CLUSTER NODES", "FAILOVER", "LASTSAVE", "ROLE",
	} {
		var args []any
		for word := range strings.FieldsSeq(command) {
			args = append(args, word)
		}
		for _, user := range []string{"api", "users"} {
			assert.False(t, g.may(t, user, args...), "%s: %s", user, command)
		}
	}
	for _, command := range [][]any{{"PING"}, {"TIME"}, {"INFO", "memory"}, {"SELECT", "1"}, {"CLUSTER", "SLOTS"}, {"COMMAND"}} {
		assert.True(t, g.may(t, "api", command...), "%v", command)
		assert.True(t, g.may(t, "users", command...), "%v", command)
	}
}

func TestRightsOnChannels(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	for _, c := range []struct{ channel, api, users string }{
		{"replies:api.a:{users}", "publish subscribe", "publish"},
		{"replies:api.a:{items}", "publish subscribe", ""},
		{"replies:items.a:{users}", "publish", "publish"},
		{"replies:users.a:{items}", "publish", "subscribe"},
		{"replies:users.a:{users}", "publish", "publish subscribe"},
		{"replies:items.a:{items}", "publish", ""},
		{"replies:users-2.a:{items}", "publish", ""},
		{"replies:api.a:beat", "publish subscribe", ""},
		{"replies:items.a:beat", "", ""},
		{"replies:*", "", ""},
		{"registry", "subscribe", "publish"},
		{"dropped:{users}", "", "publish"},
		{"dropped:{items}", "", ""},
		{"dropped:*", "psubscribe", ""},
		{"flights:a", "publish subscribe", ""},
		{"anything", "", ""},
		{"*", "", ""},
	} {
		channel := wire.DefaultNamespace + ":" + c.channel
		for what, command := range map[string][]any{
			"publish": {"PUBLISH", channel, "x"}, "subscribe": {"SUBSCRIBE", channel}, "psubscribe": {"PSUBSCRIBE", channel},
			"spublish": {"SPUBLISH", channel, "x"}, "ssubscribe": {"SSUBSCRIBE", channel},
		} {
			assert.Equal(t, slices.Contains(strings.Fields(c.api), what), g.may(t, "api", command...), "api: %v", command)
			assert.Equal(t, slices.Contains(strings.Fields(c.users), what), g.may(t, "users", command...), "users: %v", command)
		}
	}
}

// TestNoWayAround tries for real what DRYRUN does not see through.
func TestNoWayAround(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	g.redis.Do("SET", "mailroom:secret", "secret")
	g.redis.Do("XADD", "mailroom:{items}:requests", "1-1", "v", "1")
	users, api := g.connect(t, "users", g.redis.URL()).Redis(), g.connect(t, "api", g.redis.URL()).Redis()
	for name, try := range map[string]func() error{
		"a forged reply":           func() error { return users.Publish(t.Context(), "mailroom:replies:api.a:{items}", "x").Err() },
		"a forged reply by script": script(t, users, `return redis.call('PUBLISH', 'mailroom:replies:api.a:{items}', 'x')`),
		"a forged request": func() error {
			return users.XAdd(t.Context(), &redis.XAddArgs{Stream: "mailroom:{items}:requests", Values: []any{"v", "1"}}).Err()
		},
		"a forged request by script":  script(t, users, `return redis.call('XADD', 'mailroom:{items}:requests', '*', 'v', '1')`),
		"another's mailbox by script": script(t, users, `return redis.call('XRANGE', 'mailroom:{items}:requests', '-', '+')`),
		"another's key beside an own": func() error { return users.MGet(t.Context(), "mailroom:{users}:a", "mailroom:{items}:a").Err() },
		"a copy of another's": func() error {
			return users.Copy(t.Context(), "mailroom:{items}:requests", "mailroom:{users}:a", 0, true).Err()
		},
		"the secret by script":           script(t, users, `return redis.call('GET', 'mailroom:secret')`),
		"another secret":                 func() error { return api.Set(t.Context(), "mailroom:secret", "x", 0).Err() },
		"a mailbox read by a gateway":    script(t, api, `return redis.call('XREADGROUP', 'GROUP', 'workers', 'me', 'STREAMS', KEYS[1], '>')`, "mailroom:{items}:requests"),
		"a mailbox removed by a gateway": script(t, api, `return redis.call('DEL', KEYS[1])`, "mailroom:{items}:requests"),
		"a manifest by a gateway":        func() error { return api.Set(t.Context(), "mailroom:{items}:manifest:1", "x", 0).Err() },
		"what a service stores":          func() error { return api.HGetAll(t.Context(), "mailroom:{items}:shop:record:1").Err() },
	} {
		err := try()
		require.ErrorAs(t, err, new(*bus.RefusedError), name)
		assert.Contains(t, err.Error(), "refuses the user ", name)
	}
	assert.Equal(t, "secret", g.redis.Do("GET", "mailroom:secret"))
	assert.EqualValues(t, 1, g.redis.Do("XLEN", "mailroom:{items}:requests"))
}

func script(t *testing.T, rdb bus.Redis, source string, keys ...string) func() error {
	t.Helper()
	return func() error { return rdb.Eval(t.Context(), source, keys).Err() }
}

func TestApplyingAgainRestores(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	before := g.redis.Do("ACL", "LIST")
	g.redis.Do("ACL", "SETUSER", "users", "+@all", "allkeys", "allchannels", ">another")
	g.redis.Do("ACL", "SETUSER", "items", "off", "(+@all ~*)")
	assert.False(t, g.apply(t), "there is no file")
	assert.Equal(t, before, g.redis.Do("ACL", "LIST"))
}

func TestUsersAsLinesOfAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.acl")
	lines := []string{"user default on nopass ~* &* +@all"}
	for _, user := range (&guard{}).users(t) {
		lines = append(lines, user.Line())
		assert.NotContains(t, user.Line(), password(user.Name))
	}
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	server := testsupport.StartRedis(t, "--aclfile", file)
	before := sortedRules(server)
	g := &guard{redis: server}
	g.admin = g.connect(t, "", server.URL())
	assert.True(t, g.apply(t), "it is written to the file")
	assert.Equal(t, before, sortedRules(server))
	server.Restart()
	assert.Equal(t, before, sortedRules(server))
	require.NoError(t, g.connect(t, "users", server.URL()).WaitReady(t.Context()))
}

// sortedRules are the users that a server has: it lists the commands of one in
// any order.
func sortedRules(server *testsupport.RedisServer) []string {
	list, _ := server.Do("ACL", "LIST").([]any)
	users := make([]string, len(list))
	for i, line := range list {
		words := strings.FieldsFunc(fmt.Sprint(line), func(r rune) bool { return strings.ContainsRune(" ()", r) })
		slices.Sort(words)
		users[i] = strings.Join(words, " ")
	}
	return users
}

func TestOneUserForSeveralServices(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	both, err := admin.WorkerUser("both", g.keys, admin.WorkerAccess{Services: []string{"users", "items"}})
	require.NoError(t, err)
	_, err = admin.ApplyACL(t.Context(), g.admin, both)
	require.ErrorContains(t, err, "no password")
	both.Passwords = []string{"a", "b"}
	_, err = admin.ApplyACL(t.Context(), g.admin, both)
	require.NoError(t, err)
	for _, service := range []string{"users", "items"} {
		assert.True(t, g.may(t, "both", "XADD", g.keys.Requests(service), "*", "a", "b"))
		assert.True(t, g.may(t, "both", "PUBLISH", g.keys.Replies("api.a", service), "x"))
	}
	assert.False(t, g.may(t, "both", "XADD", g.keys.Requests("echo"), "*", "a", "b"))
	for _, wrong := range [][]string{{"Users"}, {"api"}, {"compositions"}, {"users", "*"}, nil} {
		_, err := admin.WorkerUser("x", g.keys, admin.WorkerAccess{Services: wrong})
		require.Error(t, err, wrong)
	}
	_, err = admin.GatewayUser("a b", g.keys, admin.GatewayAccess{})
	require.Error(t, err)
}

// A gateway that hosts a service has the rights of its worker, and for other services no
// more than before.
func TestRightsOfAGatewayThatHosts(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	host, err := admin.GatewayUser("host", g.keys, admin.GatewayAccess{Hosted: []string{"users"}})
	require.NoError(t, err)
	host.Passwords = []string{password("host")}
	_, err = admin.ApplyACL(t.Context(), g.admin, host)
	require.NoError(t, err)
	for _, kind := range kinds() {
		for what, command := range keyed(g.keys.Tagged("users", kind)) {
			assert.Equal(t, g.may(t, "api", command...) || g.may(t, "users", command...), g.may(t, "host", command...), "%s of users:%s", what, kind)
		}
		for what, command := range keyed(g.keys.Tagged("items", kind)) {
			assert.Equal(t, g.may(t, "api", command...), g.may(t, "host", command...), "%s of items:%s", what, kind)
		}
	}
	assert.True(t, g.may(t, "host", "SUBSCRIBE", g.keys.Replies("users.x", "items")))
	assert.True(t, g.may(t, "host", "PUBLISH", g.keys.Namespace()+":dropped:{users}", "a"))
	assert.False(t, g.may(t, "host", "PUBLISH", g.keys.Namespace()+":dropped:{items}", "a"))
	assert.False(t, g.may(t, "host", "SUBSCRIBE", g.keys.Replies("items.x", "users")))
	_, err = admin.GatewayUser("host", g.keys, admin.GatewayAccess{Hosted: []string{"Users"}})
	require.Error(t, err)
}
