package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":                            "redis://localhost:6379",
		"redis://user:secret@localhost:7000/2":         "redis://localhost:7000",
		"rediss://:secret@redis.example:6380":          "rediss://redis.example:6380",
		"redis://[::1]:6379":                           "redis://[::1]:6379",
		"redis+cluster://h1:7001,h2:7002,h3":           "redis+cluster://h1:7001,h2:7002,h3:6379",
		"redis+sentinel://u:p%40ss@h1,h2:26380/master": "redis+sentinel://h1:26379,h2:26380/master",
	} {
		got, err := parseURL(url)
		require.NoError(t, err, url)
		assert.Equal(t, want, got.String(), url)
	}
	got, err := parseURL("redis+sentinel://u:p%40ss@h1/master")
	require.NoError(t, err)
	assert.Equal(t, "p@ss", got.options.Password)
	assert.Equal(t, "u", got.options.Username)
}

func TestParseURLRefusesWithoutShowingThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"localhost:6379", "http://u:secret@h", "redis://", "redis://u:secret@", "redis://u:secret@h:0", "redis://u:secret@h:x",
		"redis://u:secret@h1,h2", "redis://u:secret@h/db", "redis://u:secret%zz@h", "redis+sentinel://u:secret@h",
		"redis+cluster://u:secret@h/1", "redis://u:secret@h?password=secret",
	} {
		_, err := Connect(url, Options{})
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "secret", url)
	}
}

func TestClockFollowsRedis(t *testing.T) {
	t.Parallel()
	local := time.UnixMilli(1_000_000)
	c := &Clock{local: func() time.Time { return local }}
	c.Adjust(local, local.Add(20*time.Millisecond), local.Add(time.Hour))
	assert.Equal(t, time.Hour-10*time.Millisecond, c.ahead())
	assert.Equal(t, local.Add(time.Hour-10*time.Millisecond), c.Now())
	c.Adjust(local, local.Add(time.Second), local.Add(time.Hour+100*time.Millisecond))
	assert.Equal(t, time.Hour-10*time.Millisecond, c.ahead(), "a slow reading changes nothing")
	c.Adjust(local, local.Add(time.Second), local.Add(2*time.Hour))
	assert.Equal(t, 2*time.Hour-500*time.Millisecond, c.ahead(), "unless it contradicts the offset")
	c.Adjust(local, local, local.Add(-time.Minute))
	assert.Equal(t, -time.Minute, c.ahead())
}
