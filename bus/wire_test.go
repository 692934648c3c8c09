package bus

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/resp"
	"github.com/oskadev/mailroom/testsupport"
)

// golden compares with a file that binds every language. A change of it is a
// change of the protocol.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("MAILROOM_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

const (
	goldenID    = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	goldenReply = "mailroom:replies:api.k2jx7mqa5zt4wv6e:{users}"
)

func goldenRequests() []Request {
	return []Request{
		{
			ID: goldenID, Action: "GET_USER", Args: `[1]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: `{"request_id":"checkout-7"}`,
		},
		{
			ID: goldenID, Action: "UPDATE_USER", Args: `[1,{"name":"Oska"}]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: `{"request_id":"checkout-8","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`, Store: 300000,
		},
		{ID: goldenID, Action: "SUSPEND_USER", Args: `[2]`, Store: 86400000, Lane: "user:2"},
		{
			ID: goldenID, Action: "GET_USER", Args: `[1]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: (&Principal{Subject: "key:k2jx7mqa5zt4wv6e", Tenant: "acme", Scopes: []string{"users:read"}}).into(`{"request_id":"checkout-9"}`),
		},
	}
}

// written enqueues a request and reads the flat fields of its entry.
func written(t *testing.T, r Request) []string {
	t.Helper()
	conn, err := Connect(testsupport.Miniredis(t), Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	id, err := uuid.Parse(r.ID)
	require.NoError(t, err)
	waiting := newWaiters()
	p := conn.NewPipeline()
	defer p.Close()
	w := newWriter(conn, waiting, newReplies(conn, "api.x", time.Second, waiting), newAdmission(conn, DefaultMailboxLimit, DefaultLaneLimit, false), time.Second)
	w.flush(p, []outgoing{{service: "users", id: id, request: &r}})
	k, err := p.Conn(t.Context(), "")
	require.NoError(t, err)
	answer, err := k.Do(time.Second, func(out *resp.Commands) { out.Add("xrange", conn.Keys.Requests("users"), "-", "+") })
	require.NoError(t, err)
	var fields []string
	require.NoError(t, resp.Entries(answer, func(e resp.Entry) { fields = slices.Clone(e.Fields) }))
	return fields
}

func TestRequestBytes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, r := range goldenRequests() {
		fields := written(t, r)
		for i := 0; i < len(fields); i += 2 {
			b.WriteString(fields[i] + "=" + fields[i+1] + "\n")
		}
		b.WriteString("fingerprint=" + r.fingerprint() + "\n\n")
	}
	golden(t, "requests.golden", b.String())
}

func TestRequestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range goldenRequests() {
		got, err := parseRequest(append([]string{"unknown", "ignored"}, written(t, want)...))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestFingerprintTellsRequestsApart(t *testing.T) {
	t.Parallel()
	a, b := Request{Action: "DO", Args: `X[]`}, Request{Action: "DOX", Args: `[]`}
	assert.NotEqual(t, a.fingerprint(), b.fingerprint())
	c := Request{ID: "another", Action: "DO", Args: `X[]`, Deadline: 7, Reply: "elsewhere"}
	assert.Equal(t, a.fingerprint(), c.fingerprint(), "only what is asked counts")
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

		id, reply, err := parseReplyLine(line)
		require.NoError(t, err)
		assert.Equal(t, goldenID, id)
		assert.Equal(t, envelope, reply.Envelope)
		got, err := ParseReplyMeta(reply.Meta)
		require.NoError(t, err)
		assert.Equal(t, meta, got)
	}
	golden(t, "replies.golden", b.String())
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

func TestManifestBytes(t *testing.T) {
	t.Parallel()
	m := Manifest{Service: "users", Version: "1.4.0", Protocol: 1, Actions: []Action{{
		Name: "GET_USER", Summary: "One user", Routes: []string{"GET /users/:id"}, Safe: true, TimeoutMillis: 10000,
		Args:   []Argument{{Name: "id", In: InPath, Schema: json.RawMessage(`{ "type": "integer", "minimum": 1 }`)}},
		Result: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"},"id":{"type":"integer"}}}`),
	}, {Name: "COUNT_USERS", Args: []Argument{}, Scopes: []string{"users:read", "stats"}}}}
	canonical, digest, err := m.Encode()
	require.NoError(t, err)
	golden(t, "manifest.golden", string(canonical)+"\n"+digest+"\n")

	// The order of keys in a schema, and spaces, are no difference.
	m.Actions[0].Args[0].Schema = json.RawMessage(`{"minimum":1,"type":"integer"}`)
	_, same, err := m.Encode()
	require.NoError(t, err)
	assert.Equal(t, digest, same)
	parsed, err := ParseManifest(canonical)
	require.NoError(t, err)
	_, same, err = parsed.Encode()
	require.NoError(t, err)
	assert.Equal(t, digest, same)
}

func TestParseManifestRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		``, `[]`, `{"service":"Users","protocol":1}`, `{"service":"users","protocol":2}`, `{"service":"v1","protocol":1}`,
		`{"service":"compositions","protocol":1}`, `{"service":"users","protocol":1,"actions":[{}]}`,
	} {
		_, err := ParseManifest([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestKeyBytes(t *testing.T) {
	t.Parallel()
	k, err := NewKeys("mailroom")
	require.NoError(t, err)
	golden(t, "keys.golden", strings.Join([]string{
		k.Requests("users"), k.Record("users", goldenID), k.Dead("users"), k.Lane("users", "user:2"), k.Parked("users"), k.Manifest("users", "d1"), k.Workers("users"),
		k.Services(), k.Registry(), k.Replies("api.x", "users"), k.Beat("api.x"), "",
	}, "\n"))
	for _, bad := range []string{"", "a b", "a:b", "{a}", "*", strings.Repeat("x", 65)} {
		_, err := NewKeys(bad)
		require.Error(t, err, bad)
	}
}

func TestOnlyOwnReplyChannels(t *testing.T) {
	t.Parallel()
	k, err := NewKeys("ns")
	require.NoError(t, err)
	assert.True(t, k.mayReply("users", "ns:replies:api.x:{users}"))
	for _, foreign := range []string{
		"", "ns:registry", "ns:replies:api.x:{items}", "other:replies:api.x:{users}", "ns:replies:api.x:beat", "ns:replies::{users}"[:11],
	} {
		assert.False(t, k.mayReply("users", foreign), foreign)
	}
}

func TestEnvelopesAreOneLine(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `{"ok":true,"result":{"a":"x\ny"}}`, string(Success([]byte("{\n\"a\": \"x\\ny\"\r\n}"))))
	e := Error{Code: "SOLD_OUT", Message: "line\nbreak", Status: 409, Details: func() {}}
	assert.NotContains(t, string(Failure(e)), "\n")
	assert.Contains(t, string(Failure(e)), `"code":"SOLD_OUT"`, "details that are no JSON are left out")
}

func FuzzParseReplyLine(f *testing.F) {
	f.Add(goldenID + ` worker=a,attempt=1 {"ok":true,"result":1}`)
	f.Add("- - -")
	f.Fuzz(func(t *testing.T, line string) {
		id, reply, err := parseReplyLine(line)
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

func FuzzParseRequest(f *testing.F) {
	f.Add("1", goldenID, "DO", "[1]", "5", "7")
	f.Fuzz(func(t *testing.T, v, id, action, args, deadline, store string) {
		r, err := parseRequest([]string{"v", v, "id", id, "action", action, "args", args, "deadline", deadline, "store", store})
		if err == nil && (r.Action == "" || len(r.ID) != 36 || !json.Valid([]byte(r.Args)) || r.Deadline < 0 || r.Store < 0) {
			t.Fatalf("accepted %+v", r)
		}
	})
}

func TestReadingARequestAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts what the process allocates
	fields := written(t, goldenRequests()[1])
	fewest := math.Inf(1)
	for range 20 { // goroutines that other tests leave for a moment allocate too
		fewest = min(fewest, testing.AllocsPerRun(100, func() {
			if _, err := parseRequest(fields); err != nil {
				t.Fatal(err)
			}
		}))
	}
	assert.Zero(t, fewest)
}
