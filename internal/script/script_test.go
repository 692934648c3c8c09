package script_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/script"
	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	options.DisableIdentity = true
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

const source = `local value = KEYS[1] .. ARGV[1]
return value`

func add(t *testing.T, way script.Way) script.Script {
	t.Helper()
	caller, err := script.NewCaller(way)
	require.NoError(t, err)
	return script.New(caller, "add", source, "no-writes", "allow-oom")
}

func TestRun(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	for name, c := range map[string]struct {
		url       string
		way       script.Way
		functions bool
	}{
		"a server with functions":       {server.URL(), script.Auto, true},
		"a server without functions":    {testsupport.Miniredis(t), script.Auto, false},
		"functions alone":               {server.URL(), script.Functions, true},
		"eval, though it has the other": {server.URL(), script.Eval, false},
	} {
		rdb, s := connect(t, c.url), add(t, c.way)
		for range 2 {
			got, err := s.Run(t.Context(), rdb, []string{"k"}, "v")
			require.NoError(t, err, name)
			assert.Equal(t, "kv", got, name)
		}
		assert.Equal(t, c.functions, s.Functions(), name)
	}
	rdb, s := connect(t, server.URL()), add(t, script.Auto)
	require.NoError(t, rdb.FunctionFlush(t.Context()).Err())
	got, err := s.Run(t.Context(), rdb, []string{"k"}, "v")
	require.NoError(t, err, "it is loaded again")
	assert.Equal(t, "kv", got)
	require.NoError(t, s.Load(t.Context(), rdb), "a second time changes nothing")
}

// A user without the right to load functions gets an error that says what to do.
func TestFunctionThatIsNotLoaded(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	rdb := connect(t, server.URL())
	require.NoError(t, rdb.Do(t.Context(), "acl", "setuser", "worker", "on", "nopass", "~*", "+fcall", "+hello").Err())
	worker := connect(t, "redis://worker:x@"+server.Addr())
	s := add(t, script.Auto)
	_, err := s.Run(t.Context(), worker, []string{"k"}, "v")
	require.ErrorContains(t, err, "load the function "+s.Function)
	require.ErrorContains(t, err, "mailroom acl load")
	require.NoError(t, s.Load(t.Context(), rdb))
	got, err := s.Run(t.Context(), worker, []string{"k"}, "v")
	require.NoError(t, err)
	assert.Equal(t, "kv", got)
	require.ErrorContains(t, worker.Eval(t.Context(), "while true do end", nil).Err(), "NOPERM")
}

func TestWays(t *testing.T) {
	t.Parallel()
	_, err := script.NewCaller("sometimes")
	require.ErrorContains(t, err, "want auto, functions or eval")
}
