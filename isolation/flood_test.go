package isolation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// envFlood holds the flood of a process of the attacker, as JSON.
const envFlood = "MAILROOM_ISOLATION_FLOOD"

// flood is a closed loop of calls on many connections, by a process of its own that has the lowest priority.
type flood struct {
	URL         string
	Method      string
	Body        string
	Size        int // pads the body, an object, to this size
	Key         string
	Fresh       bool     // each call has an Idempotency-Key of its own
	Connections int      // from each address
	From        []string // client addresses; none: 127.0.0.1
	Pause       time.Duration
	For         time.Duration
}

// counts are numbers of answers by status; 0: there was no answer.
type counts map[int]int

// statuses returns the sorted statuses.
func (c counts) statuses() []int {
	var all []int
	for status := range c {
		all = append(all, status)
	}
	slices.Sort(all)
	return all
}

// flood runs a flood until the context ends.
func (s *stage) flood(ctx context.Context, f flood) counts {
	s.t.Helper()
	f.URL = "http://" + s.addr + f.URL
	deadline, _ := ctx.Deadline()
	f.For = time.Until(deadline)
	text, err := json.Marshal(f)
	require.NoError(s.t, err)
	name, args := self(s.t), []string(nil)
	if nice, err := exec.LookPath("nice"); err == nil {
		name, args = nice, []string{"-n", "19", name}
	}
	p := testsupport.StartProgram( //nolint:contextcheck // the flood ends by itself, with its counts
		s.t, "flood", []string{envFlood + "=" + string(text)}, name, args...)
	<-p.Gone()
	require.NoError(s.t, p.Err())
	var found counts
	require.NoError(s.t, json.Unmarshal([]byte(p.Printed.String()), &found), p.Tail())
	s.t.Logf("answers to the attacker: %v", found)
	return found
}

// playFlood is the main function of the attacker's process.
func playFlood(text string) error {
	var f flood
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return err
	}
	if f.Size > len(f.Body) {
		f.Body = `{"a":"` + strings.Repeat("x", f.Size-8) + `"}`
	}
	ctx, stop := context.WithTimeout(context.Background(), f.For)
	defer stop()
	found := make(counts)
	var mu sync.Mutex
	var calling sync.WaitGroup
	if f.From == nil {
		f.From = []string{"127.0.0.1"}
	}
	for i := range f.Connections * len(f.From) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(f.From[i%len(f.From)])}}
		client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}, Timeout: 10 * time.Second}
		calling.Go(func() {
			for ctx.Err() == nil {
				status := f.call(ctx, client)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				found[status]++
				mu.Unlock()
				pause(ctx, f.Pause)
			}
		})
	}
	calling.Wait()
	return json.NewEncoder(os.Stdout).Encode(found)
}

func (f flood) call(ctx context.Context, client *http.Client) int {
	req, err := http.NewRequestWithContext(ctx, f.Method, f.URL, bytes.NewReader([]byte(f.Body)))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	if f.Key != "" {
		req.Header.Set("X-Api-Key", f.Key)
	}
	if f.Fresh {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// mainOfFlood ends the process if it is one of the attacker's.
func mainOfFlood() {
	text := os.Getenv(envFlood)
	if text == "" {
		return
	}
	if err := playFlood(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
