package frames

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

// golden returns the lines of a golden file as pairs of name and frame.
func golden(t *testing.T, file string) [][2]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	var pairs [][2]string
	for line := range strings.Lines(string(text)) {
		name, frame, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		require.True(t, ok, line)
		pairs = append(pairs, [2]string{name, frame})
	}
	return pairs
}

const (
	id     = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	ticket = "users." + id
)

// sent are the frames of sent.txt, as this package writes them.
func sent() []func([]byte) []byte {
	num := func(text string) jsontext.Value { return jsontext.Value(text) }
	return []func([]byte) []byte{
		(&Serving{Service: "users", Worker: "users.x7"}).Append,
		(&Run{
			Run: "1", Action: "UPDATE_USER", Args: []json.RawMessage{[]byte("1"), []byte(`{"name":"Ö<b>"}`)}, Deadline: 8 * time.Second,
			Attempt: 2, ID: id, RequestID: "r-1", Principal: &wire.Principal{Subject: "key:a", Tenant: "acme", Scopes: []string{"users:write"}},
			Version: "v2", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}).Append,
		(&Run{Run: "2", Action: "COUNT", Deadline: -time.Second, Attempt: 1, ID: strings.TrimSuffix(id, "b") + "c"}).Append,
		func(dst []byte) []byte { return AppendLost(dst, "1", LostDeadline) },
		AppendDrain,
		func(dst []byte) []byte { return AppendAnswer(dst, "c1", "{\"ok\":true,\"result\":{\"a\":\n1}}") },
		func(dst []byte) []byte {
			return AppendAnswer(dst, `c"1`, string(wire.Failure(&wire.Error{Code: wire.CodeNotFound, Status: 404})))
		},
		(&Bye{Reason: Drain, Retry: time.Second}).Append,
		(&Bye{Reason: Invalid, Message: "not JSON"}).Append,
		(&Hello{Session: "s1", Ping: 25_000, InFlight: 1024, Max: 1 << 20, Principal: "key:a"}).Append,
		(&Answer{ID: num("1"), Envelope: `{"ok":true,"result":{"id":1}}`}).Append,
		(&Answer{ID: num(`"a"`), Envelope: " {\"ok\":true,\"result\":null} \n", Status: 201, Location: "/users/7", Ticket: ticket}).Append,
		(&Answer{ID: num("2"), Envelope: string(wire.Failure(&wire.Error{Code: wire.CodeOverloaded, Status: 503})), RetryAfter: 1000}).Append,
		func(dst []byte) []byte { return AppendProgress(dst, num("2"), `{"done":1}`) },
		(&Subscribed{ID: num("3"), At: "n1"}).Append,
		(&Event{Event: "user:1", Service: "users", At: "n2"}).Append,
		(&Event{Event: ticket, Data: []byte(`{"state":"running"}`)}).Append,
		(&Event{Event: ticket, Progress: `{"done":1}`}).Append,
		func(dst []byte) []byte { return AppendOK(dst, num("3")) },
		AppendPong,
	}
}

func TestSentFrames(t *testing.T) {
	t.Parallel()
	pairs, frames := golden(t, "sent.txt"), sent()
	require.Len(t, frames, len(pairs))
	for i, pair := range pairs {
		assert.Equal(t, pair[1], string(frames[i](nil)))
	}
}

func TestReceivedFrames(t *testing.T) {
	t.Parallel()
	kinds := map[string]Kind{
		"serve": KindServe, "result": KindFinal, "failure": KindFinal, "retry": KindFinal, "stopped": KindFinal,
		"extend": KindExtend, "run-progress": KindProgress, "call": KindCall, "drain": KindDrain,
	}
	for _, pair := range golden(t, "received.txt") {
		if kind, ok := kinds[pair[0]]; ok {
			w, err := ParseWorker([]byte(pair[1]))
			require.NoError(t, err, pair[1])
			assert.Equal(t, kind, w.Kind(), pair[1])
			continue
		}
		_, err := ParseClient([]byte(pair[1]))
		require.NoError(t, err, pair[1])
	}
}

// Every golden frame fits the schema of its name, and every schema has a golden frame.
func TestFramesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "frames.schema.json"))
	require.NoError(t, err)
	var whole struct {
		Defs map[string]*jsonschema.Schema `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &whole))
	used := make(map[string]bool)
	for _, pair := range append(golden(t, "sent.txt"), golden(t, "received.txt")...) {
		schema := whole.Defs[pair[0]]
		require.NotNil(t, schema, pair[0])
		resolved, err := schema.CloneSchemas().Resolve(nil)
		require.NoError(t, err, pair[0])
		var frame any
		require.NoError(t, json.Unmarshal([]byte(pair[1]), &frame))
		require.NoError(t, resolved.Validate(frame), "%s %s", pair[0], pair[1])
		used[pair[0]] = true
	}
	for name := range whole.Defs {
		assert.True(t, used[name], "no golden frame is a %s", name)
	}
}

func TestMessagesThatAreNoFrames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "not JSON", `{`: "not JSON", `nonsense`: "not JSON", `[]`: "want a JSON object", `7`: "want a JSON object", `null`: "",
		`{"run":7}`: "/run has the wrong type", `{"id":{}}`: "", `{} {}`: "not JSON",
	} {
		_, err := ParseWorker([]byte(text))
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		var bye *Bye
		require.ErrorAs(t, err, &bye, text)
		assert.Equal(t, Invalid, bye.Reason)
		assert.Contains(t, bye.Message, want)
	}
	for _, text := range []string{`{"id":{}}`, `{"id":true}`, `{"id":null}`, `{"id":"` + strings.Repeat("a", 65) + `"}`} {
		_, err := ParseClient([]byte(text))
		require.ErrorContains(t, err, "want a number or a string of at most 64 bytes", text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"run":"1","ok":true,"result":{"id":7}}`))
	f.Add([]byte(`{"id":2,"service":"users","request":"UPDATE_USER","args":[1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if w, err := ParseWorker(text); err == nil {
			_ = w.Kind()
		}
		if c, err := ParseClient(text); err == nil && c.ID != nil {
			answer := (&Answer{ID: c.ID, Envelope: `{"ok":true,"result":1}`}).Append(nil)
			if !jsontext.Value(answer).IsValid(jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("not JSON: %s", answer)
			}
		}
	})
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	for reason, want := range map[Reason]int{
		Invalid: 4400, Unauthenticated: 4401, Forbidden: 4403, Slow: 4408, Flood: 4409, Drain: 1001, Unavailable: 1013,
	} {
		assert.Equal(t, want, reason.CloseCode(), reason)
	}
}
