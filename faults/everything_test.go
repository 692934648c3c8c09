package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// cast is the set of processes that TestEverythingKilled kills, besides the gateways.
type cast struct {
	*stage
	python string
	env    []string
	hosts  []*process // as mailroom serve, with children
	socket *process   // a worker at a gateway
	sender *process   // sends requests for a time
	killed [4]int     // children, hosts, gateways, socket workers
}

// host starts a host with two children.
func (c *cast) host() *process {
	c.t.Helper()
	return c.workerAs("host", append(c.env, envCommand+"="+c.python+" testdata/worker.py")...)
}

// socketWorker starts a worker that serves at a gateway.
func (c *cast) socketWorker(gateway int) *process {
	c.t.Helper()
	return launch(c.t, "socket worker", append(c.env, "MAILROOM_URL=http://"+c.listen[gateway]), c.python, "testdata/worker.py")
}

// kill kills a child, a host, a gateway or the socket worker in turn, and starts another. A
// host starts another child itself.
func (c *cast) kill(i int) {
	c.t.Helper()
	which := i / len(c.killed) % 2
	switch i % len(c.killed) {
	case 0:
		if pid := c.child(); pid != 0 {
			require.NoError(c.t, syscall.Kill(pid, syscall.SIGKILL))
		}
	case 1:
		c.hosts[which].Kill()
		c.hosts[which] = c.host()
	case 2:
		c.gateways[which].Kill()
		c.gateways[which] = c.gateway(which)
	case 3:
		c.socket.Kill()
		c.socket = c.socketWorker(which)
	}
	c.killed[i%len(c.killed)]++
}

// child waits until a child begins a run, and returns its process ID; 0: the client has
// ended before.
func (c *cast) child() (pid int) {
	c.t.Helper()
	seen := len(c.ledger.read(c.t))
	c.eventually("a child begins a run", func() bool {
		for _, e := range c.ledger.read(c.t)[seen:] {
			if e.what == "run" && e.pid != c.socket.PID() {
				pid = e.pid
			}
		}
		return pid != 0 || c.sent()
	})
	return pid
}

// sent reports whether the client has ended: there are no more requests. Where the machine is
// slow, it ends before the last processes are killed.
func (c *cast) sent() bool {
	select {
	case <-c.sender.Gone():
		return true
	default:
		return false
	}
}

// summary is the file that the client writes.
type summary struct {
	Sent    int               `json:"sent"`
	Runs    map[string]string `json:"runs"`    // the run that answered each request
	At      map[string]int64  `json:"at"`      // when, in unix nanoseconds
	Failed  map[string]int    `json:"failed"`  // by code
	Slowest float64           `json:"slowest"` // in seconds
}

// Children and hosts as those of mailroom serve, gateways and a socket worker are killed, one each second, while a client sends
// requests with keys at a steady rate. The client library gets an outcome for all of them, and none is settled twice.
func TestEverythingKilled(t *testing.T) {
	t.Parallel()
	python := requirePython(t)
	const rate = 200
	seconds := times(10, 60)
	source, err := filepath.Abs("../clients/python/src")
	require.NoError(t, err)
	c := &cast{python: python}
	newStage(t, setting{gateways: 2, workers: -1, attempts: 20, idle: calmIdleLimit, others: func(s *stage) {
		c.stage = s
		c.env = []string{"PYTHONPATH=" + source, "PYTHONDONTWRITEBYTECODE=1", envLedger + "=" + s.ledger.path}
		c.hosts, c.socket = []*process{c.host(), c.host()}, c.socketWorker(0)
	}})
	for _, h := range c.hosts {
		h.works()
	}
	c.eventually("the socket worker serves", func() bool { return c.socket.Printed.Contains("serving things") })

	path := filepath.Join(t.TempDir(), "summary")
	c.sender = launch(t, "client", c.env, python, "testdata/client.py", path, strconv.Itoa(rate), strconv.Itoa(seconds),
		"http://"+c.listen[0], "http://"+c.listen[1])
	for i := 0; i < seconds && !c.sent(); i++ {
		c.pass(time.Second)
		c.kill(i)
	}
	c.sender.ended()
	require.NoError(t, c.sender.Err())
	var sum summary
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &sum))
	c.quiet()
	again := c.checkRuns(sum)
	replayed := c.checkReplays(sum)
	_, err = fmt.Fprintf(t.Output(), "everything: killed %v (children, hosts, gateways, socket workers); %d sent, %d answered, failed %v, "+
		"%d runs again, %d replayed, %d connections ended or refused, slowest %.2f s\n",
		c.killed, sum.Sent, len(sum.Runs), sum.Failed, again, replayed, countOf(c.sender, "connecting again"), sum.Slowest)
	require.NoError(t, err)
}

// requirePython returns the path of a python3 with the module websockets. Without one it skips the test, or fails it where
// tests must not skip.
func requirePython(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil && exec.CommandContext(t.Context(), path, "-c", "import websockets").Run() == nil {
		return path
	}
	const missing = "this test needs a python3 in PATH with the module websockets; clients/python/check installs one in .tmp/python/bin"
	if os.Getenv(testsupport.RequireRedisEnv) == "required" {
		t.Fatalf("%s (%s=required)", missing, testsupport.RequireRedisEnv)
	}
	t.Skip(missing)
	return ""
}

// checkRuns compares the answers with the ledger and with Redis, and returns the number of
// runs beyond the first of a request.
func (c *cast) checkRuns(sum summary) (again int) {
	c.t.Helper()
	assert.Empty(c.t, sum.Failed)
	assert.Len(c.t, sum.Runs, sum.Sent)
	events := c.ledger.read(c.t)
	byCall, _ := histories(events)
	settled := make(map[string]int)
	for _, e := range events {
		if e.what == "settled" {
			settled[e.id]++
			assert.Equal(c.t, 1, settled[e.id], "outcomes of %s that Redis took", e.id)
		}
	}
	records := c.records()
	assert.Empty(c.t, c.letters())
	assert.Len(c.t, records, sum.Sent, "records, one for each key")
	for n, run := range sum.Runs {
		h := byCall[n]
		require.NotNil(c.t, h, "request %s was answered, and did not run", n)
		assert.True(c.t, h.ends[run], "request %s got the result of a run that did not end: %s", n, run)
		assert.Equal(c.t, kept{state: "done", run: run}, records[h.runs[0].id], "the record of request %s", n)
		for i, r := range h.runs {
			assert.Less(c.t, r.at, sum.At[n], "attempt %d of request %s began after the answer", r.attempt, n)
			if i == 0 {
				continue
			}
			again++
			assert.Equal(c.t, h.runs[0].id, r.id, "request %s", n)
			assert.Greater(c.t, r.attempt, h.runs[i-1].attempt, "attempts of request %s", n)
		}
	}
	return again
}

// checkReplays sends all requests again over HTTP, and returns the number of replayed
// outcomes. Each has to be the outcome that the client got.
func (c *cast) checkReplays(sum summary) int {
	c.t.Helper()
	for i := range c.gateways {
		c.serves(i)
	}
	var next, replayed atomic.Int64
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			for n := int(next.Add(1)); n <= sum.Sent; n = int(next.Add(1)) {
				run, again := c.replay(n)
				assert.Equal(c.t, sum.Runs[strconv.Itoa(n)], run, "request %d again", n)
				if again {
					replayed.Add(1)
				}
			}
		})
	}
	asking.Wait()
	assert.EqualValues(c.t, sum.Sent, replayed.Load(), "replayed outcomes")
	c.quiet()
	return int(replayed.Load())
}

// replay sends request n of the client over HTTP. It returns the run of the answer, and
// whether the answer is a stored outcome.
func (c *cast) replay(n int) (run string, replayed bool) {
	url := fmt.Sprintf("http://%s/things/run/%d", c.listen[n%len(c.listen)], n)
	body := strings.NewReader(fmt.Sprintf(`{"ms":%d}`, n%50))
	req, _ := http.NewRequestWithContext(c.t.Context(), http.MethodPost, url, body) // cannot fail
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("key-%d", n))
	res, err := c.client.Do(req)
	if err != nil {
		return err.Error(), false
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	var envelope struct {
		Result done `json:"result"`
	}
	if err != nil || json.Unmarshal(text, &envelope) != nil || envelope.Result.Run == "" {
		return fmt.Sprintf("%s %s", res.Status, text), false
	}
	return envelope.Result.Run, res.Header.Get("Idempotency-Replayed") == "true"
}
