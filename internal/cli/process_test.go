package cli

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// process is a running mailroom process.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	printed testsupport.Output
	ended   chan error
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith is start with more environment variables.
func startWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(t.Context(), self, args...)
	p.cmd.Env = append(append(os.Environ(), asProgram+"=1", "MAILROOM_OPS_LISTEN=off"), env...) // its default is one port for all
	p.cmd.Stdout, p.cmd.Stderr = &p.printed, &p.printed
	require.NoError(t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if err := <-p.ended; t.Failed() {
			t.Logf("mailroom %s ended with %v and printed:\n%s", strings.Join(args, " "), err, p.printed.String())
		}
	})
	return p
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	p.ended <- <-p.ended // wait, and leave it for the cleanup
}

// stop sends SIGTERM and returns how the process ended.
func (p *process) stop() error {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	err := <-p.ended
	p.ended <- err
	return err
}

// fleet is a real Redis with gateways before it.
type fleet struct {
	redis    *testsupport.RedisServer
	gateways []string
	client   *http.Client
}

func newFleet(t *testing.T, gateways int) *fleet {
	t.Helper()
	f := &fleet{redis: testsupport.StartRedis(t), client: newHTTPClient(t)}
	for range gateways {
		address := testsupport.FreeAddr(t)
		start(t, "api", "--auth", "none", "--redis", f.redis.URL(), "--listen", address)
		f.gateways = append(f.gateways, "http://"+address)
	}
	return f
}

func (f *fleet) worker(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, append([]string{"demo", "worker", "--redis", f.redis.URL(), "--idle-limit", "500ms"}, args...)...)
}

// serves waits until every gateway answers a GET with 200.
func (f *fleet) serves(t *testing.T, within time.Duration, path string) {
	t.Helper()
	for _, gateway := range f.gateways {
		testsupport.Eventually(t, within, gateway+path+" is served", func() bool {
			res, err := f.client.Get(gateway + path) //nolint:noctx // bounded by the client's timeout
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
}

// workersSeen sends requests and counts the replies of each worker.
func (f *fleet) workersSeen(t *testing.T, path string, times int) map[string]int {
	t.Helper()
	var mu sync.Mutex
	seen := make(map[string]int)
	var sending sync.WaitGroup
	for i := range 8 {
		sending.Go(func() {
			for n := range times / 8 {
				status, header, body := request(t, f.client, http.MethodGet, f.gateways[(i+n)%len(f.gateways)]+path, "")
				if !assert.Equal(t, http.StatusOK, status, body) {
					return
				}
				mu.Lock()
				seen[header.Get("Mailroom-Worker")]++
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	return seen
}

func TestFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	workers := []*process{f.worker(t, "users"), f.worker(t, "users"), f.worker(t, "users")}
	f.serves(t, 15*time.Second, "/users/count")
	testsupport.Eventually(t, 15*time.Second, "all three workers answer", func() bool {
		return len(f.workersSeen(t, "/users/count", 80)) == 3
	})

	// A worker dies under load: other workers answer its requests.
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		f.workersSeen(t, "/users/count", 4000) // uses assert only, so it may run here
	}()
	workers[0].kill()
	<-loaded

	// A fourth worker and a new service join without a restart.
	f.worker(t, "users")
	testsupport.Eventually(t, 15*time.Second, "the fourth worker answers too", func() bool {
		return len(f.workersSeen(t, "/users/count", 80)) == 3
	})
	status, _, _ := request(t, f.client, http.MethodGet, f.gateways[0]+"/items/1", "")
	require.Equal(t, http.StatusNotFound, status)
	items := f.worker(t, "items")
	testsupport.Eventually(t, 15*time.Second, "the worker has started", func() bool {
		return strings.Contains(items.printed.String(), "worker started")
	})
	f.serves(t, 2*time.Second, "/items/1")

	// A worker that is stopped exits with 0, and its service answers 503 at once.
	require.NoError(t, items.stop())
	testsupport.Eventually(t, 2*time.Second, "the gateways answer 503", func() bool {
		status, header, _ := request(t, f.client, http.MethodGet, f.gateways[1]+"/items/1", "")
		return status == http.StatusServiceUnavailable && header.Get("Retry-After") != ""
	})
}

func TestPoisonRequestBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	const attempts = 3
	workers := make([]*process, attempts+1)
	for i := range workers {
		workers[i] = f.worker(t, "echo", "--max-attempts", "3")
	}
	f.serves(t, 15*time.Second, "/echo/1")
	status, header, body := request(t, f.client, http.MethodPost, f.gateways[0]+"/echo/exit", "")
	assert.Equal(t, http.StatusInternalServerError, status, body)
	assert.Contains(t, body, `"state":"dead"`)
	assert.Equal(t, "/requests/echo."+header.Get("X-Request-Id"), header.Get("Location"))
	assert.Equal(t, int64(1), f.redis.Do("XLEN", "mailroom:{echo}:dead"))
	f.serves(t, 5*time.Second, "/echo/2") // the worker that made the dead letter lives

	mailroom := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		err := run(t.Context(), append(args, "--redis", f.redis.URL()), []string{"MAILROOM_ALL=true"}, &out, &errs)
		return out.String(), exitCode(err)
	}
	id := header.Get("X-Request-Id")
	out, code := mailroom("dead", "list", "echo")
	assert.Zero(t, code)
	assert.Contains(t, out, id)
	assert.Contains(t, out, "delivered 3 times without an outcome")
	out, code = mailroom("dead", "list", "echo", "--json")
	assert.Zero(t, code)
	assert.Contains(t, out, `"attempts":3`)
	out, code = mailroom("dead", "show", "echo", id)
	assert.Zero(t, code)
	assert.Contains(t, out, `"action": "EXIT"`)
	_, code = mailroom("dead", "drop", "echo")
	assert.Equal(t, exitUsage, code, "no letters are selected by default")
	_, code = mailroom("dead", "drop", "echo", "--all", id)
	assert.Equal(t, exitUsage, code)
	_, code = mailroom("dead", "drop", "echo", "7-7")
	assert.Equal(t, exitFailed, code)
	_, code = mailroom("dead", "list", "Echo")
	assert.Equal(t, exitUsage, code)
	out, code = mailroom("dead", "drop", "echo", "--all")
	assert.Zero(t, code)
	assert.Contains(t, out, id+" dropped")
	out, code = mailroom("dead", "list", "echo")
	assert.Zero(t, code)
	assert.NotContains(t, out, id)
}

func TestCallAndServices(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.worker(t)
	f.serves(t, 15*time.Second, "/users/count")
	f.serves(t, 15*time.Second, "/echo/1")
	mailroom := func(args ...string) (string, int) {
		var out, errs bytes.Buffer
		err := run(t.Context(), append(args, "--redis", f.redis.URL()), nil, &out, &errs)
		return out.String(), exitCode(err)
	}
	out, code := mailroom("call", "users", "UPDATE_USER", "1", `{"name":"Oskar"}`)
	assert.Zero(t, code)
	assert.Equal(t, `{"ok":true,"result":{"id":1,"name":"Oskar","email":"oska@example.com","status":"active"}}`+"\n", out)
	out, code = mailroom("call", "vouchers", "GET_VOUCHER", "WELCOME10")
	assert.Zero(t, code, "a bare string is a string: %s", out)
	out, code = mailroom("call", "users", "GET_USER", "99")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, "NOT_FOUND")
	_, code = mailroom("call", "users", "NO_SUCH_ACTION")
	assert.Equal(t, exitFailed, code)
	_, code = mailroom("call", "users")
	assert.Equal(t, exitUsage, code)
	_, code = mailroom("call", "nobody", "DO")
	assert.Equal(t, exitUndelivered, code)
	err := run(t.Context(), []string{"call", "compositions", "POST /v3/payments", "--redis", f.redis.URL()}, nil, &bytes.Buffer{}, &bytes.Buffer{})
	require.ErrorContains(t, err, "by their routes at a gateway")
	_, code = mailroom("call", "echo", "SLEEP", `{"ms":5000}`, "--timeout", "100ms")
	assert.Equal(t, exitUndelivered, code)

	out, code = mailroom("services")
	assert.Zero(t, code)
	for _, name := range []string{"SERVICE", "BACKLOG", "users", "items", "vouchers", "payments", "echo"} {
		assert.Contains(t, out, name)
	}
	assert.NotContains(t, out, "compositions", "the mailbox is empty")
	out, code = mailroom("services", "compositions")
	assert.Zero(t, code)
	assert.Contains(t, out, "compositions")
	assert.Contains(t, out, "Gateways with a versions file run these", "an explanation, because it lists no workers")
	out, code = mailroom("services", "users")
	assert.Zero(t, code)
	for _, text := range []string{"GET /users/:id", "PATCH /users/:id", "unsafe", "WORKER"} {
		assert.Contains(t, out, text)
	}
	out, code = mailroom("services", "--json", "users")
	assert.Zero(t, code)
	assert.Contains(t, out, `"backlog": 0`)
	_, code = mailroom("services", "nobody")
	assert.Equal(t, exitFailed, code)
}

func TestUndeliverableCall(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), []string{"call", "users", "GET_USER", "1", "--redis", "redis://:secret@" + testsupport.FreeAddr(t)}, nil, &out, &out)
	assert.Equal(t, exitUndelivered, exitCode(err))
	assert.NotContains(t, err.Error(), "secret")
}

func TestWaitingRequestsCanBeRead(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	worker := f.worker(t, "echo")
	f.serves(t, 15*time.Second, "/echo/1")
	testsupport.Freeze(t, worker.cmd.Process.Pid)
	answered := make(chan int, 1)
	go func() {
		status, _, _ := request(t, f.client, http.MethodPost, f.gateways[0]+"/echo", `{"hello":"world"}`)
		answered <- status
	}()
	testsupport.Eventually(t, 5*time.Second, "the request is in the mailbox", func() bool {
		return f.redis.Do("XLEN", "mailroom:{echo}:requests") == int64(1)
	})
	entries, _ := f.redis.Do("XRANGE", "mailroom:{echo}:requests", "-", "+").([]any)
	require.Len(t, entries, 1)
	entry, _ := entries[0].([]any)
	fields, _ := entry[1].([]any)
	text := make(map[string]string)
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		text[name], _ = fields[i+1].(string)
	}
	assert.Equal(t, "ECHO", text["action"])
	assert.Equal(t, `[{"hello":"world"}]`, text["args"])
	testsupport.Thaw(t, worker.cmd.Process.Pid)
	assert.Equal(t, http.StatusOK, <-answered)
}
