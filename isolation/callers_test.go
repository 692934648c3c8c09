package isolation

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// One key stores 1 MB under a new Idempotency-Key with each call, until it gets 429. Redis keeps room for the others. The
// attacker is paced at some 60 MB a second: with no pause it takes the CPU time of a machine with two cores, which no limit
// of what is stored changes, and the p99 of the others is 12 to 40 ms.
func TestOneKeyStoresTooMuch(t *testing.T) { //nolint:paralleltest // it measures
	var args []string
	if raceEnabled { // the attacker is too slow to store more
		args = []string{"--stored-limit", "40MiB"}
	}
	s := newStage(t, args...)
	key, body := s.key("mallory"), `{"a":"`+strings.Repeat("x", 1<<20-100)+`"}`
	var got counts
	s.attack("1 MB under random keys", 8*time.Second, func(ctx context.Context) {
		got = s.flood(ctx, flood{Method: http.MethodPost, URL: "/echo", Size: 1<<20 - 100, Key: key, Fresh: true, Connections: 2, Pause: 20 * time.Millisecond})
	})
	assert.Equal(t, []int{http.StatusOK, http.StatusTooManyRequests}, got.statuses())
	if !raceEnabled {
		assert.Greater(t, got[http.StatusOK]+got[http.StatusTooManyRequests], 300, "calls of the attacker")
	}
	a := s.do(http.MethodPost, "/echo", body, "X-Api-Key: "+key, "Idempotency-Key: "+uuid.NewString())
	assert.Contains(t, a.body[:min(200, len(a.body))], "STORAGE_LIMITED")
	used, most := s.memory()
	assert.Less(t, float64(used), 0.8*float64(most), "bytes of Redis")
	t.Logf("Redis uses %d of %d MB", used>>20, most>>20)
}

// memory returns the used and the largest memory of Redis.
func (s *stage) memory() (used, most int64) {
	s.t.Helper()
	text, err := s.admin().Info(s.t.Context(), "memory").Result()
	require.NoError(s.t, err)
	for line := range strings.Lines(text) {
		_, _ = fmt.Sscanf(line, "used_memory:%d", &used)
		_, _ = fmt.Sscanf(line, "maxmemory:%d", &most)
	}
	return used, most
}

// One key queues 2,000 slow requests that nobody waits for, at the service of the others.
func TestOneKeyQueuesManyRequests(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t)
	key := "X-Api-Key: " + s.key("mallory")
	s.attack("2,000 respond-async", 8*time.Second, func(ctx context.Context) {
		client := newClient(s.t, "")
		got := make(counts)
		for range 2000 {
			got[s.doBy(ctx, client, http.MethodPost, "/echo/sleep", `{"ms":1000}`, key, "Prefer: respond-async").status]++
		}
		t.Logf("answers to the attacker: %v", got)
		<-ctx.Done()
	})
}

// One key calls a slow action of the service of the others on 256 connections, each again and again.
func TestOneKeyOnManyConnections(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t)
	key := s.key("mallory")
	s.attack("256 connections, closed loop", 6*time.Second, func(ctx context.Context) {
		s.flood(ctx, flood{Method: http.MethodPost, URL: "/echo/sleep", Body: `{"ms":20}`, Key: key, Connections: 256})
	})
}

// One caller opens hundreds of event streams on one ticket from one address. It gets 64 of them.
func TestManyStreamsOfOneTicket(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t)
	key := "X-Api-Key: " + s.key("mallory")
	ticket := s.do(http.MethodPost, "/echo/sleep", `{"ms":60000}`, key, "Prefer: respond-async").header.Get("Location")
	require.NotEmpty(t, ticket)
	s.attack("500 streams of one ticket", 5*time.Second, func(ctx context.Context) {
		client := newClient(t, "127.0.0.2")
		client.Timeout = 0
		got := make(counts)
		var mu sync.Mutex
		var streams sync.WaitGroup
		for range 500 {
			streams.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+ticket+"/events", http.NoBody)
				if err != nil {
					return
				}
				req.Header.Set("X-Api-Key", strings.TrimPrefix(key, "X-Api-Key: "))
				res, err := client.Do(req)
				if err != nil {
					return
				}
				mu.Lock()
				got[res.StatusCode]++
				mu.Unlock()
				<-ctx.Done()
				_ = res.Body.Close()
			})
		}
		for ctx.Err() == nil {
			ready := s.doBy(context.WithoutCancel(ctx), newClient(t, "127.0.0.3"), http.MethodGet, "/readyz", "")
			assert.Equal(t, http.StatusOK, ready.status, ready.body)
			pause(ctx, 200*time.Millisecond)
		}
		streams.Wait()
		assert.Equal(t, counts{http.StatusOK: 64, http.StatusTooManyRequests: 436}, got)
	})
}

// Clients of several addresses use all connections and open more. Probes are still answered.
func TestFloodOfConnections(t *testing.T) { //nolint:paralleltest // it measures
	s := newStage(t, "--max-connections", "400", "--address-connections", "200")
	s.attack("connections above the limit", 5*time.Second, func(ctx context.Context) {
		holding := make(chan struct{})
		go func() {
			defer close(holding)
			// Without a credential; the connections stay open.
			s.flood(ctx, flood{
				Method: http.MethodGet, URL: "/echo/1", Connections: 250, Pause: time.Second,
				From: []string{"127.0.0.2", "127.0.0.3"},
			})
		}()
		refused := 0
		for ctx.Err() == nil {
			fresh := newClient(t, "127.0.0.9")
			ready := s.doBy(context.WithoutCancel(ctx), fresh, http.MethodGet, "/readyz", "")
			assert.Equal(t, http.StatusOK, ready.status, ready.body)
			if s.doBy(context.WithoutCancel(ctx), fresh, http.MethodGet, "/echo/1", "").status == http.StatusServiceUnavailable {
				refused++
			}
			fresh.CloseIdleConnections()
			pause(ctx, 200*time.Millisecond)
		}
		<-holding
		assert.Positive(t, refused, "calls above the limit get 503")
	})
}
