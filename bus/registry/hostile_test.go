package registry

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

// stage is a Redis with a registry that runs.
type stage struct {
	*testing.T

	conn *bus.Conn
	rdb  bus.Redis
	r    *Registry
}

func newStage(t *testing.T, url string) *stage {
	t.Helper()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(url, bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &stage{T: t, conn: conn, rdb: conn.Redis(), r: New(conn, nil)}
}

// run runs the registry until the test ends.
func (s *stage) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.r.Run(ctx)
	}()
	s.Cleanup(func() { stop(); <-done })
}

// register writes what one worker of a service writes at its start.
func (s *stage) register(service, worker, digest, manifest string) {
	s.Helper()
	ctx := s.Context()
	require.NoError(s, s.rdb.Set(ctx, s.conn.Keys.Manifest(service, digest), manifest, 0).Err())
	require.NoError(s, s.rdb.SAdd(ctx, s.conn.Keys.Services(), service).Err())
	s.live(service, worker+" "+digest)
	require.NoError(s, s.rdb.Publish(ctx, s.conn.Keys.Registry(), service).Err())
}

func (s *stage) live(service string, members ...string) {
	s.Helper()
	live := make([]redis.Z, len(members))
	for i, member := range members {
		live[i] = redis.Z{Score: float64(time.Now().Add(time.Minute).UnixMilli()), Member: member}
	}
	require.NoError(s, s.rdb.ZAdd(s.Context(), s.conn.Keys.Workers(service), live...).Err())
}

// declares returns a manifest with one action.
func declares(service, action, schema string) string {
	return `{"service":"` + service + `","version":"1","protocol":1,"actions":[{"name":"` + action + `","safe":true,"timeout_ms":1,` +
		`"args":[{"name":"input","in":"body","schema":` + schema + `}]}]}`
}

// newsWithin registers a service, changes it, and wants each change to arrive within 2 s.
func (s *stage) newsWithin() {
	s.Helper()
	for i, action := range []string{"ONE", "TWO"} {
		began := time.Now()
		digest := strconv.Itoa(i)
		require.NoError(s, s.rdb.Del(s.Context(), s.conn.Keys.Workers("honest")).Err())
		s.register("honest", "honest.1", digest, declares("honest", action, "{}"))
		testsupport.Eventually(s, 5*time.Second, "the manifest with "+action+" arrives", func() bool {
			return s.r.Snapshot()["honest"].Action(action) != nil
		})
		assert.Less(s, time.Since(began), 2*time.Second, action)
	}
}

// faulty waits until the hostile service has a fault.
func (s *stage) faulty() *Service {
	s.Helper()
	testsupport.Eventually(s, 10*time.Second, "it has a fault", func() bool {
		found := s.r.Snapshot()["hostile"]
		return found != nil && found.Fault != ""
	})
	return s.r.Snapshot()["hostile"]
}

// heap returns the live memory of this process, in which other tests run too.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDeepSchemaDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	s.run()
	const depth = 4900
	s.register("hostile", "hostile.1", "1", declares("hostile", "GET", strings.Repeat(`{"items":`, depth)+"{}"+strings.Repeat("}", depth)))
	s.newsWithin()
	assert.Contains(t, s.faulty().Fault, "nested deeper than")
}

func TestManyNamesDoNotDelayOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	s.run()
	s.newsWithin()
	before := heap()
	s.fill(`for i = 1, 100000 do redis.call('SADD', KEYS[1], 'bogus-' .. i) end return 1`, s.conn.Keys.Services())
	s.newsWithin()
	testsupport.Eventually(t, 10*time.Second, "the names are looked at", func() bool { return len(s.r.Snapshot()) == 2000 })
	s.newsWithin()
	began := time.Now()
	s.register("late", "late.1", "1", declares("late", "GET", "{}"))
	testsupport.Eventually(t, 5*time.Second, "a new service is found", func() bool { return s.r.Snapshot()["late"].Live() })
	assert.Less(t, time.Since(began), 2*time.Second)
	assert.Less(t, heap(), before+128<<20)

	other := New(s.conn, nil) // a gateway that starts meanwhile
	for range 7 {
		require.NoError(t, other.Look(t.Context()))
	}
	assert.True(t, other.Snapshot()["honest"].Live())
	assert.Len(t, other.Snapshot(), 2000)

	require.NoError(t, s.rdb.Del(t.Context(), s.conn.Keys.Services()).Err())
	testsupport.Eventually(t, 15*time.Second, "names that were removed are gone", func() bool { return len(s.r.Snapshot()) == 2 })
}

// fill runs a script that fills a key, which is faster than to send its values.
func (s *stage) fill(script, key string, args ...any) {
	s.Helper()
	require.NoError(s, s.rdb.Eval(s.Context(), script, []string{key}, args...).Err())
}

func TestSchemasThatDoubleDoNotDelayOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	s.run()
	var defs strings.Builder
	for i := range 40 {
		fmt.Fprintf(&defs, `"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	s.register("hostile", "hostile.1", "1", declares("hostile", "GET", `{"$ref":"#/$defs/a0","$defs":{`+defs.String()+`"a40":{}}}`))
	s.newsWithin()
	assert.Contains(t, s.faulty().Fault, "steps of validation")
	assert.Nil(t, s.r.Snapshot()["hostile"].Manifest)
	assert.True(t, s.r.Snapshot()["hostile"].Live())
}

// members is a script that adds many workers, each with a digest of its own if ARGV[3] is 1.
const members = `local n, expires = tonumber(ARGV[1]), ARGV[2]
for i = 1, n do redis.call('ZADD', KEYS[1], expires, 'hostile.' .. i .. ' ' .. (ARGV[3] == '1' and 'd' .. i or 'good')) end return 1`

func TestManyWorkersAreCounted(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	s.run()
	s.register("hostile", "hostile.0", "good", declares("hostile", "GET", "{}"))
	const workers = 100_000
	before := heap()
	s.fill(members, s.conn.Keys.Workers("hostile"), workers, time.Now().Add(time.Minute).UnixMilli(), 0)
	s.newsWithin()
	hostile := s.faulty()
	assert.Len(t, hostile.Workers, 1000)
	assert.Equal(t, workers+1-1000, hostile.More)
	assert.Equal(t, "more than 1000 live workers: the rest is only counted", hostile.Fault)
	assert.NotNil(t, hostile.Action("GET"))
	assert.Less(t, heap(), before+128<<20)
}

func TestManyDigestsLeaveTheLastGoodManifest(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	s.run()
	s.register("hostile", "hostile.0", "good", declares("hostile", "GET", "{}"))
	testsupport.Eventually(t, 2*time.Second, "the manifest is known", func() bool { return s.r.Snapshot()["hostile"].Action("GET") != nil })
	before := heap()
	s.fill(members, s.conn.Keys.Workers("hostile"), 50_000, time.Now().Add(time.Minute).UnixMilli(), 1)
	s.newsWithin()
	hostile := s.faulty()
	assert.Contains(t, hostile.Fault, "more than 32 different manifests")
	assert.NotNil(t, hostile.Action("GET"), "as it was known last")
	assert.True(t, hostile.Live())
	assert.Less(t, heap(), before+128<<20)
}

func TestManifestsOverALimitLeaveTheLastGoodOne(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	good := declares("hostile", "GET", "{}")
	s.register("hostile", "hostile.0", "good", good)
	require.NoError(t, s.r.Look(t.Context()))
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for i, c := range []struct{ manifest, fault string }{
		{declares("hostile", "GET", `{"title":"`+strings.Repeat("x", 300<<10)+`"}`), "bytes, more than 262144"},
		{`{"service":"hostile","protocol":1,"actions":[` + many(2001, `{"name":"A"}`) + `]}`, "2001 actions, more than 2000"},
		{`{"service":"hostile","protocol":1,"actions":[{"name":"A","routes":[` + many(33, `"GET /hostile"`) + `]}]}`, "33 routes, more than 32"},
		{`{"service":"hostile","protocol":1,"more":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "nested deeper than 64 levels"},
		{`{"service":"other","protocol":1}`, `names the service "other"`},
		{`{`, "unexpected end"},
	} {
		digest := strconv.Itoa(i)
		require.NoError(t, s.rdb.Del(t.Context(), s.conn.Keys.Workers("hostile")).Err())
		s.register("hostile", "hostile.1", digest, c.manifest)
		require.NoError(t, s.r.Look(t.Context()))
		found := s.r.Snapshot()["hostile"]
		assert.Contains(t, found.Fault, c.fault)
		assert.NotNil(t, found.Action("GET"), c.fault)
		assert.True(t, found.Live())
	}
	require.NoError(t, s.rdb.Del(t.Context(), s.conn.Keys.Workers("hostile")).Err())
	s.register("hostile", "hostile.2", "good", good)
	require.NoError(t, s.r.Look(t.Context()))
	assert.Empty(t, s.r.Snapshot()["hostile"].Fault)
}

func TestNewManifestsAreBoundedInAMinute(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	for i := range 100 {
		require.NoError(t, s.rdb.Del(t.Context(), s.conn.Keys.Workers("hostile")).Err())
		s.register("hostile", "hostile.1", strconv.Itoa(i), declares("hostile", "ACTION_"+strconv.Itoa(i), "{}"))
		require.NoError(t, s.r.Look(t.Context()))
	}
	found := s.r.Snapshot()["hostile"]
	assert.Equal(t, "more than 30 new manifests in a minute", found.Fault)
	assert.NotNil(t, found.Action("ACTION_29"))
	assert.Nil(t, found.Action("ACTION_30"))
}

// Members that are far longer than those of a worker must cost no memory, and no others
// their news.
func TestLongMembersDoNotDelayOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	s.run()
	s.register("hostile", "hostile.1", "1", declares("hostile", "GET", "{}"))
	s.newsWithin()
	before := heap()
	long := strings.Repeat("x", 64<<20)
	require.NoError(t, s.rdb.SAdd(t.Context(), s.conn.Keys.Services(), long).Err())
	s.live("hostile", "hostile."+long+" 1")
	s.newsWithin()
	assert.Contains(t, s.faulty().Fault, "too long")
	assert.Less(t, heap(), before+128<<20)
}

// Anyone may publish on the channel of hints.
func TestManyHintsDoNotDelayOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.StartRedis(t).URL())
	s.run()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			pipe := s.rdb.Pipeline()
			for j := range 100 {
				pipe.Publish(ctx, s.conn.Keys.Registry(), fmt.Sprintf("bogus-%d-%d", i, j))
			}
			_, _ = pipe.Exec(ctx)
		}
	}()
	s.newsWithin()
	stop()
	<-done
	assert.Len(t, s.r.Snapshot(), 1, "a name that was only announced is no service")
}

func TestNamesThatAreGoneStayGone(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	s.r.limits.forget = 0
	s.register("one", "one.1", "1", declares("one", "GET", "{}"))
	s.register("other", "other.1", "1", declares("other", "GET", "{}"))
	require.NoError(t, s.r.Look(t.Context()))
	require.NoError(t, s.rdb.SRem(t.Context(), s.conn.Keys.Services(), "one", "other").Err())
	require.NoError(t, s.rdb.Del(t.Context(), s.conn.Keys.Workers("one")).Err())
	for range 2 {
		require.NoError(t, s.r.Look(t.Context()))
		assert.Nil(t, s.r.Snapshot()["one"])
		assert.NotNil(t, s.r.Snapshot()["other"], "it has a live worker")
	}
	require.NoError(t, s.rdb.SAdd(t.Context(), s.conn.Keys.Services(), "one").Err())
	require.NoError(t, s.r.Look(t.Context()))
	assert.NotNil(t, s.r.Snapshot()["one"])
}

func TestNamesOverTheLimitLeaveRoomForLiveServices(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	s.r.limits.names = 10
	for i := range 9 {
		require.NoError(t, s.rdb.SAdd(t.Context(), s.conn.Keys.Services(), fmt.Sprintf("bogus-%d", i)).Err())
	}
	s.register("z", "z.1", "1", declares("z", "GET", "{}"))
	require.NoError(t, s.r.Look(t.Context()))
	require.Len(t, s.r.Snapshot(), 10)
	s.r.limits.names = 3
	require.NoError(t, s.r.Look(t.Context()))
	assert.Len(t, s.r.Snapshot(), 3)
	assert.NotNil(t, s.r.Snapshot()["z"])
}
