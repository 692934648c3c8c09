package cli

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestTicketsFromTheShell(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.worker(t, "echo")
	f.serves(t, 15*time.Second, "/echo/1")
	mailroom := func(args ...string) (wire.RequestState, int) {
		var out, errs bytes.Buffer
		code := exitCode(run(t.Context(), append(args, "--redis", f.redis.URL()), nil, &out, &errs))
		var printed struct {
			OK     bool              `json:"ok"`
			Result wire.RequestState `json:"result"`
		}
		if out.Len() > 0 {
			require.NoError(t, json.Unmarshal(out.Bytes(), &printed), out.String())
			require.True(t, printed.OK)
		}
		return printed.Result, code
	}
	// One that does not end while it is looked at, however long that takes.
	state, code := mailroom("call", "--async", "--timeout", "10m", "echo", "SLEEP", `{"ms":600000}`)
	assert.Zero(t, code)
	assert.Equal(t, "SLEEP", state.Action)
	name := "echo." + state.ID
	state, code = mailroom("ticket", name)
	assert.Zero(t, code, "the request has not ended")
	assert.Contains(t, []string{wire.StateQueued, wire.StateRunning}, state.State)
	_, code = mailroom("ticket", name, "--wait", "--timeout", "10ms")
	assert.Equal(t, exitUndelivered, code)

	state, code = mailroom("call", "--async", "echo", "SLEEP", `{"ms":1000}`)
	assert.Zero(t, code)
	state, code = mailroom("ticket", "/requests/echo."+state.ID, "--wait")
	assert.Zero(t, code)
	assert.Equal(t, wire.StateDone, state.State)
	assert.JSONEq(t, `{"ok":true,"result":{"slept":1000}}`, string(state.Outcome))

	state, code = mailroom("call", "--async", "echo", "FAIL", `{"code":"SOLD_OUT","status":409,"message":"sold out"}`)
	assert.Zero(t, code, "the request is accepted")
	state, code = mailroom("ticket", "echo."+state.ID, "--wait")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, string(state.Outcome), "SOLD_OUT")
	_, code = mailroom("ticket", "echo."+uuid.NewString())
	assert.Equal(t, exitUndelivered, code, "the request is unknown")
	for _, wrong := range []string{"echo", "echo.7", ".", "Echo." + state.ID} {
		_, code = mailroom("ticket", wrong)
		assert.Equal(t, exitUsage, code, wrong)
	}
	_, code = mailroom("call", "--async", "echo", "GET_ECHO", "1")
	assert.Equal(t, exitUsage, code, "a safe action has no ticket")
}
