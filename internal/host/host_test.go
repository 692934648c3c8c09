package host

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestRequestsPassThroughAConnection(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("4")
	done := s.call("GET", 7)
	run := p.answer(`"ok":true,"result":{"id":7,"text":"<ü>"}`)
	assert.Equal(t, "GET", run["action"])
	assert.Equal(t, []any{7.0}, run["args"])
	assert.InDelta(t, 10_000, run["deadline"], 2_000)
	assert.InDelta(t, 1, run["attempt"], 0)
	assert.Len(t, run["id"], 36)
	r := <-done
	require.NoError(t, r.err)
	assert.JSONEq(t, `{"id":7,"text":"<ü>"}`, string(r.value))

	done = s.call("SET", "7")
	run = p.answer(`"ok":true`)
	assert.Equal(t, []any{"7", map[string]any{}}, run["args"], "the body that the caller left out")
	r = <-done
	require.NoError(t, r.err)
	assert.JSONEq(t, "null", string(r.value), "no result is null")
}

func TestFailuresKeepTheirCodeAndDetails(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	done := s.call("SET", "7")
	p.answer(`"ok":false,"error":{"code":"SOLD_OUT","message":"none left","status":409,"details":{"left":0}}`)
	var e *client.Error
	require.ErrorAs(t, (<-done).err, &e)
	assert.Equal(t, client.Code("SOLD_OUT"), e.Code)
	assert.Equal(t, http.StatusConflict, e.Status)
	assert.Equal(t, "none left", e.Message)
	assert.JSONEq(t, `{"left":0}`, fmt.Sprintf("%s", e.Details))

	done = s.call("SET", "7")
	p.answer(`"ok":false,"error":{"message":"secret"}`)
	r := <-done
	assert.Equal(t, workers.CodeInternal, r.code())
	assert.NotContains(t, r.err.Error(), "secret")
	s.log.Wait(t, "the worker sent a failure with the code")
}

func TestArgumentsAreCheckedBeforeTheWorkerGetsThem(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	r := <-s.call("GET", "seven")
	assert.Equal(t, workers.CodeBadRequest, r.code())
	require.ErrorContains(t, r.err, `id: want integer, got string "seven"`)
	done := s.call("GET", 8)
	p.answer(`"ok":true`)
	require.NoError(t, (<-done).err, "the first run that the worker sees")
}

func TestNoMoreRunsThanTheWorkerTakes(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("2")
	calls := make([]<-chan result, 3)
	for i := range calls {
		calls[i] = s.call("GET", i)
	}
	first, second := p.expect("run"), p.expect("run")
	testsupport.Eventually(t, 10*time.Second, "the third call waits", func() bool {
		stats, err := admin.ReadStats(t.Context(), s.conn, "things")
		return err == nil && stats.Backlog == 1
	})
	// A call that times out meanwhile shows that no slot is free.
	assert.Equal(t, workers.CodeTimeout, (<-s.call("SHORT")).code())
	p.send(`{"run":"` + first["run"].(string) + `","ok":true}`)
	p.answer(`"ok":true`)
	p.send(`{"run":"` + second["run"].(string) + `","ok":true}`)
	for _, c := range calls {
		require.NoError(t, (<-c).err)
	}
}

func TestRetryIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	done := s.call("SET", "7")
	first := p.answer(`"retry":true,"reason":"the database is away"`)
	s.log.Wait(t, "the database is away")
	second := p.answer(`"ok":true`)
	assert.Equal(t, first["id"], second["id"])
	assert.InDelta(t, 2, second["attempt"], 0)
	require.NoError(t, (<-done).err)
}

func TestLostRunsAreReportedAndEndByStopped(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	done := s.call("SHORT")
	run := p.expect("run")
	lost := p.expect("lost")
	assert.Equal(t, run["run"], lost["lost"])
	assert.Equal(t, "deadline", lost["reason"])
	p.send(`{"run":"` + run["run"].(string) + `","stopped":true}`)
	assert.Equal(t, workers.CodeTimeout, (<-done).code())
	done = s.call("GET", 1)
	p.answer(`"ok":true`) // its slot is free
	require.NoError(t, (<-done).err)
}

func TestStuckWorkerIsCutOff(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("2")
	done := s.call("SHORT")
	p.expect("run")
	p.expect("lost")
	bye := p.expect("bye")["bye"].(map[string]any)
	assert.Equal(t, "slow", bye["reason"])
	assert.Contains(t, bye["message"], "run 1 of SHORT")
	assert.Equal(t, workers.CodeTimeout, (<-done).code())
	assert.ErrorContains(t, <-p.served, "did not end")
}

// A worker that dies has its requests delivered again at once, to another connection.
func TestRequestsOfADeadConnectionGoToAnother(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) { c.Linger = time.Minute; c.IdleLimit = 3 * time.Second })
	p := s.serve("1")
	done := s.call("SET", "7")
	first := p.expect("run")
	began := time.Now()
	require.NoError(t, p.conn.Close())
	require.ErrorIs(t, <-p.served, ErrClosed)
	second := s.serve("1").answer(`"ok":true,"result":2`)
	require.NoError(t, (<-done).err)
	assert.Less(t, time.Since(began), 3*time.Second, "sooner than the idle limit")
	assert.Equal(t, first["id"], second["id"])
}

// The read that waits when the last connection ends may still take a request, which no
// worker has begun.
func TestRequestsThatNoConnectionGotAreNotCounted(t *testing.T) {
	t.Parallel()
	for action, id := range map[string]any{"GET": 7, "SET": "7"} { // safe and unsafe
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			taken, gone := make(chan struct{}), make(chan struct{})
			first := sync.OnceFunc(func() {
				close(taken)
				<-gone
			})
			s := newStage(t, testsupport.Miniredis(t), func(c *Config) {
				c.Conn.Hook = func(at bus.Step, _ string) {
					if at == bus.StepDelivered {
						first()
					}
				}
			})
			p := s.serve("1")
			done := s.call(action, id)
			<-taken
			require.NoError(t, p.conn.Close())
			require.ErrorIs(t, <-p.served, ErrClosed)
			close(gone)
			run := s.serve("1").answer(`"ok":true`)
			assert.InDelta(t, 1, run["attempt"], 0)
			require.NoError(t, (<-done).err)
		})
	}
}

func TestConnectionsShareAService(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p, q := s.serve("1"), s.serve("1")
	one, two := s.call("GET", 1), s.call("GET", 2)
	first, second := p.expect("run"), q.expect("run")
	p.send(`{"run":"` + first["run"].(string) + `","ok":true}`)
	q.send(`{"run":"` + second["run"].(string) + `","ok":true}`)
	require.NoError(t, (<-one).err)
	require.NoError(t, (<-two).err)
	assert.Len(t, s.host.services, 1)
}

func TestDrainFinishesRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) { c.DrainLimit = 20 * time.Second })
	p := s.serve("1")
	done := s.call("SET", "7")
	run := p.expect("run")
	s.stop()
	p.expect("drain")
	p.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":"late"}`)
	r := <-done
	require.NoError(t, r.err)
	assert.JSONEq(t, `"late"`, string(r.value))
	require.NoError(t, <-p.served)
}

func TestDrainLimitEndsRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	s.call("GET", 1)
	run := p.expect("run")
	s.stop()
	p.expect("drain")
	lost := p.expect("lost")
	assert.Equal(t, "drain", lost["reason"])
	p.send(`{"run":"` + run["run"].(string) + `","stopped":true}`)
	require.NoError(t, <-p.served)
}

func TestExtendKeepsARunPastItsDeadline(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	done := s.call("SHORT")
	name := p.expect("run")["run"].(string)
	p.send(`{"run":"` + name + `","extend":400}`)
	assert.Equal(t, workers.CodeTimeout, (<-done).code(), "its caller does not wait longer")
	began := time.Now()
	p.expect("lost")
	assert.Greater(t, time.Since(began), 100*time.Millisecond, "200 ms after the deadline")
	p.send(`{"run":"` + name + `","stopped":true}`)
}

func TestRunsCallOtherServices(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("2")
	done := s.call("GET", 1)
	name := p.expect("run")["run"].(string)
	p.send(`{"call":"c1","run":"` + name + `","service":"things","request":"GET","args":[2]}`)
	p.answer(`"ok":true,"result":"two"`)
	assert.Equal(t, map[string]any{"call": "c1", "ok": true, "result": "two"}, p.next())
	p.send(`{"call":"c2","run":"` + name + `","service":"things","request":"NONE"}`)
	failed := p.expect("call")
	assert.Equal(t, "NOT_SUPPORTED", failed["error"].(map[string]any)["code"])
	p.send(`{"call":"c3","run":"99","service":"things","request":"GET"}`)
	failed = p.expect("call")
	assert.Equal(t, "BAD_REQUEST", failed["error"].(map[string]any)["code"])
	p.send(`{"run":"` + name + `","ok":true}`)
	require.NoError(t, (<-done).err)
}

func TestBadFramesEndTheConnection(t *testing.T) {
	t.Parallel()
	served := `{"serve":` + strings.ReplaceAll(manifest, "\n", "") + `}`
	for frame, want := range map[string]string{
		`nonsense`:                       "not JSON",
		`[1]`:                            "want a JSON object",
		`{"serve":{"service":"Things"}}`: `service name "Things"`,
		`{"serve":{"service":"things"}}`: "it has no action",
		`{"serve":7}`:                    "manifest",
		served[:len(served)-1] + `,"concurrency":0}`:     "concurrency 0 is not between 1 and 10000",
		served[:len(served)-1] + `,"concurrency":"two"}`: "/concurrency has the wrong type",
		`{"hello":1}`: "not a frame",
		`{"run":"1"}`: "not a frame",
		`{"serve":{"service":"things","actions":[{"name":"GET","routes":["GET /other"]}]}}`:                                          "want a path below /things",
		`{"serve":{"service":"things","actions":[{"name":"GET","routes":["GET /things/:id"],"args":[{"name":"key","in":"path"}]}]}}`: "has :id in its place",
		`{"serve":{"service":"things","actions":[{"name":"GET","args":[{"schema":{"$ref":"other.json"}}]}]}}`:                        "argument 0",
		`{"serve":{"service":"things","protocol":2,"actions":[]}}`:                                                                   "protocol 2 is not 1",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, testsupport.Miniredis(t))
			p := s.connect(frame)
			bye := p.expect("bye")["bye"].(map[string]any)
			assert.Equal(t, "invalid", bye["reason"])
			assert.Contains(t, bye["message"], want)
			var refused *frames.Bye
			require.ErrorAs(t, <-p.served, &refused)
			assert.Equal(t, frames.Invalid, refused.Reason)
		})
	}
}

func TestWorkerHasToDeclareItsServiceInTime(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) { c.StartLimit = 50 * time.Millisecond })
	p := s.connect()
	assert.Contains(t, p.expect("bye")["bye"].(map[string]any)["message"], "no serve frame within 50ms")
}

func TestUnknownMembersOfAManifestAreLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	for range 2 {
		p := s.connect(`{"serve":{"service":"things","actions":[{"name":"GET","rout":"GET /things/:id"}]}}`)
		p.expect("serving")
	}
	const warning = "level=WARN msg=\"unknown members of the manifest are ignored\" service=things members=[actions[0].rout]"
	assert.Equal(t, 1, strings.Count(s.log.String(), warning), s.log.String())
}

func TestServicesMayBeRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) {
		c.Allow = func(service string) *frames.Bye {
			return &frames.Bye{Reason: frames.Forbidden, Message: "the key lacks the scope serve:" + service}
		}
	})
	p := s.connect(`{"serve":` + compact(t, manifest) + `}`)
	assert.Equal(t, map[string]any{"reason": "forbidden", "message": "the key lacks the scope serve:things"}, p.expect("bye")["bye"])
}

// Frames of a run that is finished, or that never was, change nothing.
func TestFramesOfUnknownRunsAreIgnored(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	p.send(`{"run":"17","ok":true,"result":"forged"}`)
	done := s.call("GET", 1)
	run := p.answer(`"ok":true,"result":1`)
	p.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":2}`)
	p.send(`{"run":"` + run["run"].(string) + `","extend":100}`)
	assert.JSONEq(t, "1", string((<-done).value))
	done = s.call("GET", 2)
	p.answer(`"ok":true,"result":3`)
	assert.JSONEq(t, "3", string((<-done).value))
}

func TestWorkerThatDrainsGetsNoMoreRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) { c.Linger = time.Minute })
	p := s.serve("2")
	first := s.call("GET", 1)
	run := p.expect("run")
	p.send(`{"drain":true}`)
	p.expect("drain")
	second := s.call("GET", 2)
	s.serve("1").answer(`"ok":true,"result":2`)
	assert.JSONEq(t, "2", string((<-second).value))
	p.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":1}`)
	assert.JSONEq(t, "1", string((<-first).value), "the run before still has its outcome")
}

func TestProgressAndCancelReachTheWorker(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t), func(c *Config) { c.DrainLimit = 20 * time.Second })
	p := s.serve("1")
	ticket, err := s.client.Send(t.Context(), "things", "SET", "7")
	require.NoError(t, err)
	name := p.expect("run")["run"].(string)
	p.send(`{"run":"` + name + `","progress":{"done":1}}`)
	p.send(`{"run":"99","progress":{"done":1}}`)
	_, id, _ := strings.Cut(string(ticket), ".")
	testsupport.Eventually(t, 20*time.Second, "the record has it", func() bool {
		text, err := s.conn.Redis().HGet(t.Context(), s.conn.Keys.Record("things", id), "progress").Result()
		return err == nil && text == `{"done":1}`
	})
	outcome, err := s.client.Cancel(t.Context(), ticket)
	require.NoError(t, err)
	assert.Equal(t, "cancelling", outcome.State)
	lost := p.expect("lost")
	assert.Equal(t, "cancelled", lost["reason"])
	p.send(`{"run":"` + name + `","stopped":true}`)
	outcome, err = s.client.Wait(t.Context(), ticket)
	require.NoError(t, err)
	assert.Equal(t, "cancelled", outcome.State)
}

// A worker may send a call as soon as it has the answer to another one.
func TestCallsUpToTheLimit(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("1")
	const limit, all = 64, 2000
	for n := range all + limit {
		if n >= limit {
			p.expect("call")
		}
		if n < all {
			p.send(fmt.Sprintf(`{"call":"c%d","run":"none","service":"a","request":"B"}`, n))
		}
	}
}
