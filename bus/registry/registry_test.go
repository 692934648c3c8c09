package registry

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/testsupport"
)

func TestUnknownMembersOfManifestsAreIgnored(t *testing.T) {
	t.Parallel()
	log, _ := testsupport.Logger(t)
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx, rdb := t.Context(), conn.Redis()
	require.NoError(t, rdb.SAdd(ctx, conn.Keys.Services(), "things").Err())
	for digest, manifest := range map[string]string{
		"1": `{"service":"things","protocol":1,"actions":[{"name":"GET","rout":"GET /things/:id"}]}`,
		"2": `{"service":"things","protocol":1,"more":1,"actions":[{"name":"GET","rout":"GET /things/:id"}]}`,
	} {
		require.NoError(t, rdb.Set(ctx, conn.Keys.Manifest("things", digest), manifest, 0).Err())
		live := redis.Z{Score: float64(time.Now().Add(time.Minute).UnixMilli()), Member: "things." + digest + " " + digest}
		require.NoError(t, rdb.ZAdd(ctx, conn.Keys.Workers("things"), live).Err())
	}
	r := New(conn, nil)
	require.NoError(t, r.Look(ctx))
	s := r.Snapshot()["things"]
	require.NotNil(t, s.Action("GET"))
	assert.True(t, s.Live())
	assert.Equal(t, []string{"actions[0].rout", "more"}, s.Unknown)
}
