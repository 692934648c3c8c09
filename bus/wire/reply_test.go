package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestAppendMillis(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0", -time.Second: "0", 999: "0", time.Microsecond: "0.001", 42 * time.Microsecond: "0.042", 1500 * time.Microsecond: "1.5",
		12*time.Second + 340*time.Microsecond: "12000.34", 70 * time.Millisecond: "70",
	} {
		assert.Equal(t, want, string(AppendMillis(nil, d)))
	}
}

func TestReplyBytes(t *testing.T) {
	t.Parallel()
	metas := []ReplyMeta{
		{},
		{Worker: "users.q4n7zj2mx6tbw5ra", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond},
		{Worker: "users.q4n7zj2mx6tbw5ra", Attempt: 2, Status: 201, Location: "/users/3?a=b,c d%/ä"},
		{Status: 409, Tags: []string{"user:1", "users"}},
		{Stored: true},
	}
	var b strings.Builder
	for _, meta := range metas {
		envelope := `{"ok":true,"result":{"id":1}}`
		if meta.Stored {
			envelope = "-"
		}
		line := goldenID + " " + string(meta.Append(nil)) + " " + envelope
		b.WriteString(line + "\n")

		id, reply, err := ParseReplyLine(line)
		require.NoError(t, err)
		assert.Equal(t, goldenID, id)
		assert.Equal(t, envelope, reply.Envelope)
		got, err := ParseReplyMeta(reply.Meta)
		require.NoError(t, err)
		assert.Equal(t, meta, got)
	}
	testsupport.Golden(t, "../testdata/replies.golden", b.String())
}

func TestReplyMetaIgnoresUnknownNames(t *testing.T) {
	t.Parallel()
	m, err := ParseReplyMeta("later=7,status=404,flag")
	require.NoError(t, err)
	assert.Equal(t, ReplyMeta{Status: 404}, m)
	for _, bad := range []string{"status=x", "queue=-1", "run=NaN", "queue=1e400", "worker=%zz", "attempt="} {
		_, err := ParseReplyMeta(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseReplyLine(f *testing.F) {
	f.Add(goldenID + ` worker=a,attempt=1 {"ok":true,"result":1}`)
	f.Add("- - -")
	f.Fuzz(func(t *testing.T, line string) {
		id, reply, err := ParseReplyLine(line)
		if err != nil {
			return
		}
		if id+" "+reply.Meta+" "+reply.Envelope != line {
			t.Fatalf("%q was read as %q %q %q", line, id, reply.Meta, reply.Envelope)
		}
		meta, err := ParseReplyMeta(reply.Meta)
		if err != nil {
			return
		}
		if strings.ContainsAny(string(meta.Append(nil)), " \n") {
			t.Fatalf("meta %q is written with a space or a line break", reply.Meta)
		}
	})
}

func TestErrorsOfMetaAreShort(t *testing.T) {
	t.Parallel()
	for _, meta := range []string{"attempt=" + strings.Repeat("9", 60_000), "status=" + strings.Repeat("x", 1<<20), "run=" + strings.Repeat("1", 50_000)} {
		_, err := ParseReplyMeta(meta)
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 200)
	}
}
