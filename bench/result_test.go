package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exampleResult returns a typical result.
func exampleResult() *Result {
	begin := time.Unix(1000, 0)
	r := newRecorder(begin)
	for i := range 1000 {
		start := begin.Add(time.Duration(i) * time.Millisecond)
		r.record(start, start.Add(time.Duration(i+1)*time.Microsecond), Answer{Bytes: 2000})
	}
	r.record(begin, begin.Add(40*time.Millisecond), Answer{Failure: "status 503", Detail: "full"})
	r.cutOff(begin, begin.Add(50*time.Millisecond))
	result := r.result(begin.Add(2*time.Second), begin.Add(time.Second), true)
	result.Target, result.Loop, result.Connections, result.RateWanted = "GET http://127.0.0.1/", "open", 64, 1000
	result.Late = newLatency(newHistogram())
	return result
}

func TestResultAsJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(exampleResult())
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"target":"GET http://127.0.0.1/","loop":"open","connections":64,"rate_wanted":1000,"seconds":2,"interrupted":true,
		"requests":1002,"rate":500,"failed":1,"unanswered":1,"bytes":2000000,
		"latency_ms":{"mean":0.589,"p50":0.501,"p90":0.902,"p99":0.992,"p99_9":40.031,"max":50.015},
		"late_ms":{"mean":0,"p50":0,"p90":0,"p99":0,"p99_9":0,"max":0},
		"failures":[{"kind":"status 503","count":1,"first":"full"}]}`, string(text))
}

func TestResultAsATable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	require.NoError(t, exampleResult().Write(&b))
	table := strings.Join(strings.Fields(b.String()), " ")
	for _, text := range []string{
		"GET http://127.0.0.1/ open loop, 1,000/s wanted, 64 connections, 2.0 s, interrupted",
		"answered 1,000 500/s", "failed 1 0.0998 %", "unanswered 1", "bytes 2,000,000 1,000,000/s",
		"ms mean p50 p90 p99 p99.9 max latency 0.589 0.501", "schedule late by 0.000", "1 status 503 full",
	} {
		assert.Contains(t, table, text, b.String())
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		assert.Equal(t, want, count(n))
	}
}
