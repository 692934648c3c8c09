package testsupport

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// through starts an embedded Redis and a proxy to it, and connects to both.
func through(t *testing.T) (proxy *Proxy, proxied, direct *redis.Client) {
	t.Helper()
	options, err := redis.ParseURL(Miniredis(t))
	require.NoError(t, err)
	proxy = StartProxy(t, options.Addr)
	return proxy, dial(t, proxy.Addr()), dial(t, options.Addr)
}

// ping sends PING with a short timeout, for tests that expect no answer.
func ping(t *testing.T, client *redis.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	return client.Ping(ctx).Err()
}

func TestProxyPassesBothWays(t *testing.T) {
	t.Parallel()
	_, proxied, direct := through(t)
	large := string(make([]byte, 3*chunkSize+1))
	require.NoError(t, proxied.Set(t.Context(), "large", large, 0).Err())
	assert.Equal(t, large, direct.Get(t.Context(), "large").Val())
	assert.Equal(t, large, proxied.Get(t.Context(), "large").Val())
}

func TestProxyCutClosesPresentConnections(t *testing.T) {
	t.Parallel()
	proxy, proxied, _ := through(t)
	subscription := proxied.Subscribe(t.Context(), "channel")
	defer func() { _ = subscription.Close() }() // the proxy has cut it
	_, err := subscription.Receive(t.Context())
	require.NoError(t, err)

	received := make(chan error, 1)
	go func() {
		_, err := subscription.Receive(context.WithoutCancel(t.Context()))
		received <- err
	}()
	proxy.Cut()
	require.Error(t, <-received)
	require.NoError(t, proxied.Ping(t.Context()).Err(), "a new connection works")
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	proxy, proxied, _ := through(t)
	require.NoError(t, proxied.Ping(t.Context()).Err())
	proxy.Refuse(true)
	require.NoError(t, proxied.Ping(t.Context()).Err(), "a present connection goes on")
	late := dial(t, proxy.Addr())
	require.Error(t, late.Ping(t.Context()).Err())
	proxy.Refuse(false)
	require.NoError(t, late.Ping(t.Context()).Err())
}

func TestProxyHoldsRepliesBack(t *testing.T) {
	t.Parallel()
	proxy, proxied, _ := through(t)
	require.NoError(t, proxied.Ping(t.Context()).Err())
	proxy.HoldReplies(true)
	// The present read may still forward one reply.
	_ = proxied.Ping(t.Context()).Err()
	answered := make(chan error, 1)
	go func() { answered <- proxied.Ping(t.Context()).Err() }()
	select {
	case err := <-answered:
		require.Fail(t, "answered while replies are held", err)
	case <-time.After(100 * time.Millisecond):
	}
	proxy.HoldReplies(false)
	require.NoError(t, <-answered, "it was held, not lost")
}

func TestProxyRefusesForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	proxy := StartProxy(t, FreeAddr(t))
	require.Error(t, dial(t, proxy.Addr()).Ping(t.Context()).Err())
}

func TestProxyDelaysEachDirection(t *testing.T) {
	t.Parallel()
	const delay = 30 * time.Millisecond
	proxy, proxied, _ := through(t)
	require.NoError(t, proxied.Ping(t.Context()).Err())
	proxy.Delay(delay)
	start := time.Now()
	require.NoError(t, proxied.Ping(t.Context()).Err())
	assert.GreaterOrEqual(t, time.Since(start), 2*delay)
}

func TestProxyBlackholeStaysForAConnectionThatLostBytes(t *testing.T) {
	t.Parallel()
	for name, swallow := range map[string]func(*Proxy, bool){
		"both": (*Proxy).Blackhole, "requests": (*Proxy).BlackholeRequests, "replies": (*Proxy).BlackholeReplies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, _, _ := through(t)
			conn := dialRaw(t, proxy.Addr())
			require.NoError(t, pingRaw(conn, 10*time.Second))

			swallow(proxy, true)
			require.ErrorIs(t, pingRaw(conn, 30*time.Millisecond), os.ErrDeadlineExceeded, "open, yet silent")
			swallow(proxy, false)
			require.ErrorIs(t, pingRaw(conn, 30*time.Millisecond), os.ErrDeadlineExceeded, "and so it stays")
			require.NoError(t, dial(t, proxy.Addr()).Ping(t.Context()).Err(), "a new connection lost nothing")
		})
	}
}

func TestProxyBlackholeOfRepliesLetsRequestsPass(t *testing.T) {
	t.Parallel()
	proxy, proxied, direct := through(t)
	proxy.BlackholeReplies(true)
	require.Error(t, ping(t, proxied))
	proxy.BlackholeReplies(false)

	require.NoError(t, proxied.Ping(t.Context()).Err())
	proxy.BlackholeReplies(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, proxied.Set(ctx, "key", "value", 0).Err())
	Eventually(t, 5*time.Second, "the command was carried out", func() bool {
		return direct.Get(t.Context(), "key").Val() == "value"
	})
}

func TestProxyLosesTheReplyOfACommandThatWasCarriedOut(t *testing.T) {
	t.Parallel()
	proxy, proxied, direct := through(t)
	require.NoError(t, proxied.Ping(t.Context()).Err())
	lost := proxy.DropNextReply("xadd")
	require.NoError(t, proxied.Ping(t.Context()).Err(), "another command is left alone")
	entry := &redis.XAddArgs{Stream: "stream", Values: []string{"field", "value"}}
	require.Error(t, proxied.XAdd(t.Context(), entry).Err())
	<-lost
	assert.Equal(t, int64(1), direct.XLen(t.Context(), "stream").Val())
	require.NoError(t, proxied.XAdd(t.Context(), entry).Err(), "only once")
}

func TestProxyFindsACommandThatIsSplitAcrossReads(t *testing.T) {
	t.Parallel()
	proxy, _, direct := through(t)
	lost := proxy.DropNextReply("NEEDLE")
	client := dialRaw(t, proxy.Addr())
	_, err := client.Write([]byte(rawPing + "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$6\r\nNEE"))
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 100))
	require.NoError(t, err, "the answer to the first command, with which the beginning of the second has passed")
	_, err = client.Write([]byte("DLE\r\n"))
	require.NoError(t, err)

	_, err = client.Read(make([]byte, 100))
	require.Error(t, err, "closed without an answer")
	<-lost
	assert.Equal(t, "NEEDLE", direct.Get(t.Context(), "key").Val())
}

func TestProxyCanBeChangedWhileItIsBusy(t *testing.T) {
	t.Parallel()
	proxy, _, _ := through(t)
	var callers sync.WaitGroup
	for range 4 {
		client := dial(t, proxy.Addr())
		callers.Go(func() {
			for range 50 {
				_ = client.Ping(t.Context()).Err() // the error does not matter, but it must return
			}
		})
	}
	for range 50 {
		proxy.Delay(time.Millisecond)
		proxy.Refuse(true)
		proxy.DropNextReply("ping")
		proxy.Cut()
		proxy.Refuse(false)
		proxy.Delay(0)
	}
	callers.Wait()
}
