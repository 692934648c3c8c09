package caller

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
	"github.com/oskadev/mailroom/testsupport"
)

const (
	sampleID    = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	goldenReply = "mailroom:replies:api.k2jx7mqa5zt4wv6e:{users}"
)

func goldenRequests() []wire.Request {
	return []wire.Request{
		{
			ID: sampleID, Action: "GET_USER", Args: `[1]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: `{"request_id":"checkout-7"}`,
		},
		{
			ID: sampleID, Action: "UPDATE_USER", Args: `[1,{"name":"Oska"}]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: `{"request_id":"checkout-8","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`, Store: 300000,
		},
		{ID: sampleID, Action: "SUSPEND_USER", Args: `[2]`, Store: 86400000, Lane: "user:2"},
		{
			ID: sampleID, Action: "GET_USER", Args: `[1]`, Reply: goldenReply, Deadline: 1750000010000,
			Meta: (&wire.Principal{Subject: "key:k2jx7mqa5zt4wv6e", Tenant: "acme", Scopes: []string{"users:read"}}).AddTo(`{"request_id":"checkout-9"}`),
		},
	}
}

// written enqueues a request and reads the flat fields of its entry.
func written(t *testing.T, r wire.Request) []string {
	t.Helper()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	id, err := uuid.Parse(r.ID)
	require.NoError(t, err)
	p := conn.NewPipeline()
	defer p.Close()
	w := newWriter(conn, newWaiters(), newHealth(conn, "api.x", time.Second), newAdmission(conn, defaultMailboxLimit, defaultLaneLimit, false, noLimits), time.Second)
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
		b.WriteString("fingerprint=" + r.Fingerprint() + "\n\n")
	}
	testsupport.Golden(t, "../testdata/requests.golden", b.String())
}

func TestRequestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range goldenRequests() {
		got, err := wire.ParseRequest(append([]string{"unknown", "ignored"}, written(t, want)...))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestReadingARequestAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts what the process allocates
	fields := written(t, goldenRequests()[1])
	fewest := math.Inf(1)
	for range 20 { // goroutines that other tests leave for a moment allocate too
		fewest = min(fewest, testing.AllocsPerRun(100, func() {
			if _, err := wire.ParseRequest(fields); err != nil {
				t.Fatal(err)
			}
		}))
	}
	assert.Zero(t, fewest)
}
