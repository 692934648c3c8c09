package api_test

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// dialFrom connects from a loopback address, such as 127.0.0.2.
func (s *stage) dialFrom(t *testing.T, address string) *rawConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0))}
	conn, err := dialer.DialContext(s.ctx, "tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return s.raw(t, conn)
}

const health, count = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", again

// One address cannot use up the connections of the others; a trusted proxy has no such bound.
func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) {
		c.AddressConnections = 8
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	})
	held := make([]*rawConn, 8)
	for i := range held {
		held[i] = s.dialFrom(t, "127.0.0.2")
		held[i].say(count)
		assert.Equal(t, http.StatusOK, held[i].hear(http.MethodGet).status)
	}
	s.dialFrom(t, "127.0.0.2").closed()
	s.logs.Wait(t, "--trusted-proxy")
	for range 9 {
		w := s.dialFrom(t, "127.0.0.9")
		w.say(count)
		assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "a proxy")
	}
	w := s.dialFrom(t, "127.0.0.3")
	w.say(count)
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status, "another address")
	require.NoError(t, held[0].Close())
	testsupport.Eventually(t, patience, "there is room again", func() bool {
		w := s.dialFrom(t, "127.0.0.2")
		w.say(count)
		_, err := w.r.Peek(1)
		return err == nil
	})
}

// Probes are answered when all connections are in use, and nothing else is.
func TestProbesAboveTheConnectionLimit(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *api.Config) { c.MaxConnections = 12 })
	s.client.CloseIdleConnections()
	var held []*rawConn
	testsupport.Eventually(t, patience, "all connections are in use", func() bool {
		w := s.dialFrom(t, "127.0.0.2")
		w.say(count)
		if w.hear(http.MethodGet).status == http.StatusOK {
			held = append(held, w)
		}
		return len(held) == 12
	})
	for _, path := range []string{"/healthz", "/readyz", "/healthz/"} {
		w := s.dialFrom(t, "127.0.0.3")
		w.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" + smuggled)
		a := w.hear(http.MethodGet)
		assert.Equal(t, http.StatusOK, a.status, path)
		assert.True(t, a.close)
		w.closed()
	}
	w := s.dialFrom(t, "127.0.0.3")
	w.say(count)
	a := w.hear(http.MethodGet)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Equal(t, "OVERLOADED", a.Error.Code)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.True(t, a.close)
	w.closed()

	// Silent connections cannot take the reserve from another address, and not for long.
	began := time.Now()
	silent := make([]*rawConn, 6)
	for i := range silent {
		silent[i] = s.dialFrom(t, "127.0.0.2")
	}
	silent[4].closed()
	w = s.dialFrom(t, "127.0.0.3")
	w.say(health)
	assert.Equal(t, http.StatusOK, w.hear(http.MethodGet).status)
	_, err := io.ReadAll(silent[0].r)
	require.NoError(t, err)
	assert.Less(t, time.Since(began), 8*time.Second, "their time is bounded")
}

// A stream of events ends after its life. A client that connects again loses nothing.
func TestStreamsHaveALife(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.StreamLife = 200 * time.Millisecond })
	g := s.gate()
	location, _ := s.accepted("/gate", "Prefer: respond-async")
	<-g.entered
	var seen []event
	last := "0"
	for range 3 {
		_, events := s.follow(location, "Last-Event-ID: "+last)
		for e := range events { // until the stream ends
			seen, last = append(seen, e), e.id
		}
	}
	assert.Equal(t, []event{{"2", "state", wire.StateRunning}}, seen)
	close(g.open)
	s.state(location + "?wait=20")
	_, events := s.follow(location, "Last-Event-ID: "+last)
	assert.Equal(t, event{"4", "state", wire.StateDone}, <-events)
}

func TestStreamsOfOneCaller(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.Miniredis(t), "", func(c *api.Config) { c.Streams = 2 })
	g := s.gate()
	location, _ := s.accepted("/gate", "Prefer: respond-async")
	<-g.entered
	_, first := s.follow(location)
	_, second := s.follow(location)
	a := s.refused(429, "RATE_LIMITED", http.MethodGet, location+"/events", "")
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	w := s.dialFrom(t, "127.0.0.2")
	w.say("GET " + location + "/events HTTP/1.1\r\nHost: x\r\n\r\n")
	line, err := w.r.ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, line, "200", "another address has streams of its own")
	close(g.open)
	for _, events := range []<-chan event{first, second} {
		for range events { // until the end
		}
	}
	testsupport.Eventually(t, patience, "there is room again", func() bool {
		status, events := s.follow(location)
		for range events { // until the end
		}
		return status == http.StatusOK
	})
}
