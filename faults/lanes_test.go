package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
)

// insist repeats a call with an Idempotency-Key until it gets the outcome.
func (s *stage) insist(gateway int, path, key string, body any, headers ...string) (status int, said []byte) {
	for range 20 {
		if status, said = s.once(gateway, path, key, body, headers...); status != 0 && status < http.StatusInternalServerError {
			break
		}
		s.pass(100 * time.Millisecond)
	}
	return status, said
}

// once makes one call; status 0: no answer.
func (s *stage) once(gateway int, path, key string, body any, headers ...string) (status int, said []byte) {
	text, _ := json.Marshal(body)                                                                                                 // maps of strings and numbers
	req, _ := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.listen[gateway]+path, bytes.NewReader(text)) // its parts are constant
	req.Body, req.GetBody = io.NopCloser(bytes.NewReader(text)), nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	if said, err = io.ReadAll(res.Body); err != nil {
		return 0, nil
	}
	return res.StatusCode, said
}

// appended is one call of APPEND, from the view of its caller.
type appended struct {
	id            int
	value         string
	length        int
	called, ended int64
}

// appendModel is the model of a list: an append adds to its end and returns the new length.
func appendModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, _, output any) (bool, any) {
			length := state.(int) + 1
			return output.(int) == length, length
		},
	}
}

// APPEND reads a list and writes it back. Workers are killed again and again; no value is
// lost or added twice, because the requests for one list run one at a time.
func TestLanes(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 2, workers: 4, idle: calmIdleLimit, examples: true})
	ids, callers := times(10, 50), 4 // per list, half of them at each gateway
	each := times(100, 400) / callers
	s.eventually("the gateways know the routes", func() bool {
		return s.status(http.MethodOptions, 0, "/echo/1/append") == http.StatusNoContent &&
			s.status(http.MethodOptions, 1, "/echo/1/append") == http.StatusNoContent
	})
	var mu sync.Mutex
	var all []appended
	var asking sync.WaitGroup
	began := time.Now()
	for id := range ids {
		for caller := range callers {
			asking.Go(func() {
				for i := range each {
					a := appended{id: id, value: fmt.Sprintf("%d.%d", caller, i), called: int64(time.Since(began))}
					status, said := s.insist(caller%2, fmt.Sprintf("/echo/%d/append", id), fmt.Sprintf("%d.%s", id, a.value), map[string]any{"value": a.value, "ms": 1})
					a.ended = int64(time.Since(began))
					var answer struct {
						Result struct {
							Length int `json:"length"`
						} `json:"result"`
					}
					if !assert.Equal(t, http.StatusOK, status, "%s", said) || json.Unmarshal(said, &answer) != nil {
						return
					}
					a.length = answer.Result.Length
					mu.Lock()
					all = append(all, a)
					mu.Unlock()
				}
			})
		}
	}
	asking.Go(func() { s.appendInOrder(ids, each) })
	stop := make(chan struct{})
	var killing sync.WaitGroup
	kills := 0
	killing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(times(400, 1000)) * time.Millisecond):
				kills++
				s.replaceWorker()
			}
		}
	})
	asking.Wait()
	close(stop)
	killing.Wait()
	took := time.Since(began)
	assert.Positive(t, kills)
	require.Len(t, all, ids*callers*each)

	histories := make(map[int][]porcupine.Operation)
	at := make(map[string]int)
	for i, a := range all {
		histories[a.id] = append(histories[a.id], porcupine.Operation{ClientId: i, Call: a.called, Return: a.ended, Output: a.length})
		at[fmt.Sprintf("%d %d", a.id, a.length)]++
	}
	for id := range ids {
		var log struct {
			Result []string `json:"result"`
		}
		res := s.get(0, fmt.Sprintf("/echo/%d/log", id))
		require.NoError(t, json.Unmarshal(res, &log), "%s", res)
		require.Len(t, log.Result, callers*each, "no value is lost or doubled")
		position := make(map[string]int)
		for i, value := range log.Result {
			position[value] = i
		}
		for caller := range callers {
			for i := 1; i < each; i++ {
				assert.Less(t, position[fmt.Sprintf("%d.%d", caller, i-1)], position[fmt.Sprintf("%d.%d", caller, i)], "in each caller's order")
			}
		}
		assert.True(t, porcupine.CheckOperations(appendModel(), histories[id]), "linearizable")
	}
	for _, a := range all {
		assert.Equal(t, 1, at[fmt.Sprintf("%d %d", a.id, a.length)], "one answer for each length")
	}
	s.eventually("nothing is left in the lanes", func() bool {
		stats, err := admin.ReadStats(t.Context(), s.conn, "echo")
		return err == nil && stats.Backlog+stats.Waiting+stats.Pending+stats.Dead == 0
	})
	for _, pattern := range []string{s.conn.Keys.Lane("echo", "*"), s.conn.Keys.Waiting("echo")} {
		keys, err := s.conn.Redis().Keys(t.Context(), pattern).Result()
		require.NoError(t, err)
		assert.Empty(t, keys, "an idle lane has no key")
	}
	var log struct {
		Result []string `json:"result"`
	}
	require.NoError(t, json.Unmarshal(s.get(0, fmt.Sprintf("/echo/%d/log", ids)), &log))
	var want []string
	for i := range each {
		want = append(want, strconv.Itoa(i))
	}
	assert.Equal(t, want, log.Result, "in the order they were accepted")
	t.Logf("lanes: %d appends to %d lists, %d workers killed, none lost or doubled, in %v", len(all), ids, kills, took.Round(time.Millisecond))
}

// appendInOrder appends to one list without waiting for outcomes: each call begins when the
// other gateway has accepted the previous one.
func (s *stage) appendInOrder(id, most int) {
	for i := range most {
		status, said := s.insist(i%2, fmt.Sprintf("/echo/%d/append", id), fmt.Sprintf("order.%d", i), map[string]any{"value": strconv.Itoa(i), "ms": 1}, "Prefer: respond-async")
		assert.Contains(s.t, []int{http.StatusAccepted, http.StatusOK}, status, "%s", said)
	}
}

// get reads from a gateway.
func (s *stage) get(gateway int, path string) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.listen[gateway]+path, http.NoBody)
	require.NoError(s.t, err)
	res, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return text
}

// More callers want an item than the stock allows: exactly the stock is reserved.
func TestStock(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 2, workers: 2, idle: calmIdleLimit, examples: true})
	stock, callers := times(30, 100), times(200, 1000)
	require.NoError(t, s.conn.Redis().HSet(t.Context(), "mailroom:{items}:shop:record:7", "id", 7, "name", "Ticket", "stock", stock).Err())
	s.eventually("the gateways know the routes", func() bool {
		return s.status(http.MethodOptions, 0, "/items/7/reserve") == http.StatusNoContent &&
			s.status(http.MethodOptions, 1, "/items/7/reserve") == http.StatusNoContent
	})
	statuses := make(chan int, callers)
	var asking sync.WaitGroup
	for i := range callers {
		asking.Go(func() {
			status, _ := s.insist(i%2, "/items/7/reserve", fmt.Sprintf("buyer-%d", i), map[string]any{"quantity": 1})
			statuses <- status
		})
	}
	s.pass(50 * time.Millisecond)
	s.replaceWorker()
	asking.Wait()
	close(statuses)
	count := make(map[int]int)
	for status := range statuses {
		count[status]++
	}
	assert.Equal(t, map[int]int{http.StatusOK: stock, http.StatusConflict: callers - stock}, count)
	left, err := s.conn.Redis().HGet(t.Context(), "mailroom:{items}:shop:record:7", "stock").Int()
	require.NoError(t, err)
	assert.Zero(t, left)
}
