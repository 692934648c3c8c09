package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// resident returns the resident memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kB int
	_, err = fmt.Sscan(rest, &kB)
	require.NoError(t, err)
	return kB << 10
}

// hear opens a socket and reads its hello.
func hear(ctx context.Context, address string) (net.Conn, error) {
	dialer := ws.Dialer{Protocols: []string{"mailroom.v1"}, Timeout: 20 * time.Second}
	conn, early, _, err := dialer.Dial(ctx, "ws://"+address+"/socket")
	if err != nil {
		return nil, err
	}
	if early == nil {
		early = bufio.NewReaderSize(conn, 512)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	h, err := ws.ReadHeader(early)
	if err != nil {
		return nil, err
	}
	_, err = early.Discard(int(h.Length))
	return conn, err
}

// An idle socket costs a gateway little: 5,000 take less than 150 MB.
func TestIdleSocketsCostLittle(t *testing.T) {
	t.Parallel()
	const sockets, limit = 5000, 25 << 10 // bytes of each
	redis := testsupport.StartRedis(t)
	address := testsupport.FreeAddr(t)
	gateway := start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", address)
	f := &fleet{redis: redis, client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/readyz")
	before := resident(t, gateway.cmd.Process.Pid)
	conns := make(chan net.Conn, sockets)
	var dialing sync.WaitGroup
	for range 8 {
		dialing.Go(func() {
			for range sockets / 8 {
				conn, err := hear(t.Context(), address)
				if err != nil {
					t.Error(err)
					return
				}
				conns <- conn
			}
		})
	}
	dialing.Wait()
	close(conns)
	each := (resident(t, gateway.cmd.Process.Pid) - before) / sockets
	t.Logf("%d bytes for each of %d sockets, beside %d MB", each, sockets, before>>20)
	if !raceEnabled {
		assert.Less(t, each, limit)
	}
	for conn := range conns {
		_ = conn.Close()
	}
}

// A client that does not read is cut off, and costs others nothing.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	address := testsupport.FreeAddr(t)
	ops := testsupport.FreeAddr(t)
	start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", address, "--ops-listen", ops)
	start(t, "worker", "echo", "--redis", redis.URL())
	f := &fleet{redis: redis, client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/echo/1")
	conn, err := hear(t.Context(), address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(64<<10)) //nolint:forcetypeassert // it is one
	frame := `,"service":"echo","request":"ECHO","args":[{"text":"` + strings.Repeat("x", 200_000) + `"}]}`
	written := make(chan struct{})
	go func() {
		defer close(written)
		// More than the gateway keeps and the kernel buffers, and less than it takes at once: it
		// has read all when it closes the socket, which then is no reset.
		for id := range 78 {
			if wsutil.WriteClientText(conn, []byte(fmt.Sprintf(`{"id":%d`, id)+frame)) != nil {
				return // the gateway has closed the socket
			}
		}
	}()
	<-written
	testsupport.Eventually(t, 30*time.Second, "all requests are answered, before the client reads", func() bool {
		res, err := f.client.Get("http://" + ops + "/metrics") //nolint:noctx // the client has a timeout
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return redis.Do("XLEN", "mailroom:{echo}:requests") == int64(0) && strings.Contains(string(text), `mailroom_in_flight{service="echo"} 0`)
	})
	in, slow := bufio.NewReader(conn), false
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		h, err := ws.ReadHeader(in)
		if err != nil {
			break
		}
		if h.OpCode == ws.OpClose {
			code := make([]byte, 2)
			_, err = in.Read(code)
			require.NoError(t, err)
			slow = code[0] == 4408>>8 && code[1] == 4408&0xff
			break
		}
		if _, err := in.Discard(int(h.Length)); err != nil {
			break
		}
	}
	assert.True(t, slow, "it is closed with 4408")
	f.serves(t, 5*time.Second, "/echo/1")
}

func TestBenchOverASocket(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	address := testsupport.FreeAddr(t)
	start(t, "api", "--auth", "none", "--redis", redis.URL(), "--listen", address)
	start(t, "worker", "echo", "--redis", redis.URL())
	f := &fleet{redis: redis, client: newHTTPClient(t), gateways: []string{"http://" + address}}
	f.serves(t, 15*time.Second, "/echo/1")
	url := "ws://" + address + "/socket"
	out, errs, code := benched(t, url, "--service", "echo", "--action", "GET_ECHO", "--arg", "1")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "echo GET_ECHO over one socket")
	assert.Contains(t, strings.Join(strings.Fields(out), " "), "failed 0 ")
	out, errs, code = benched(t, url, "--service", "echo", "--action", "NONE")
	assert.Equal(t, exitFailed, code, errs)
	assert.Contains(t, out, "NOT_SUPPORTED")
	_, errs, code = benched(t, url)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "needs --service")
	_, errs, code = benched(t, "ws://127.0.0.1:1/socket", "--service", "echo", "--action", "GET_ECHO")
	assert.Equal(t, exitUndelivered, code)
	assert.Contains(t, errs, "open the socket")
}
