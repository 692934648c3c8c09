package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
)

const goldenID = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"

func TestFingerprintTellsRequestsApart(t *testing.T) {
	t.Parallel()
	a, b := Request{Action: "DO", Args: `X[]`}, Request{Action: "DOX", Args: `[]`}
	assert.NotEqual(t, a.Fingerprint(), b.Fingerprint())
	c := Request{ID: "another", Action: "DO", Args: `X[]`, Deadline: 7, Reply: "elsewhere"}
	assert.Equal(t, a.Fingerprint(), c.Fingerprint(), "only action and arguments count")
}

func FuzzParseRequest(f *testing.F) {
	f.Add("1", goldenID, "DO", "[1]", "5", "7")
	f.Fuzz(func(t *testing.T, v, id, action, args, deadline, store string) {
		r, err := ParseRequest([]string{"v", v, "id", id, "action", action, "args", args, "deadline", deadline, "store", store})
		if err == nil && (r.Action == "" || len(r.ID) != 36 || !json.Valid([]byte(r.Args)) || r.Deadline < 0 || r.Store < 0) {
			t.Fatalf("accepted %+v", r)
		}
	})
}
