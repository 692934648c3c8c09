package recent_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/api/recent"
	"github.com/oskadev/mailroom/bus/wire"
)

func request(path string, status int) *exchange.Request {
	in := exchange.NewMessage(&wire.Principal{Subject: "key:k1"}, "v2")
	in.Method, in.Path, in.Service, in.Action = "GET", path, "users", "GET_USER"
	in.Outcome = exchange.Outcome{Status: status, Total: time.Millisecond}
	return &in
}

func all(*recent.Request) bool { return true }

func TestLastRequestsComeFirst(t *testing.T) {
	t.Parallel()
	r := recent.New()
	assert.Empty(t, r.Last(10, all))
	for i := range 3 {
		r.Add(request(fmt.Sprintf("/users/%d", i), 200))
	}
	r.Add(request("/users/x", 404))
	last := r.Last(2, all)
	assert.Equal(t, "/users/x", last[0].Path)
	assert.Equal(t, "/users/2", last[1].Path)
	assert.Equal(t, "key:k1", last[0].Principal)
	assert.Len(t, r.Last(10, func(one *recent.Request) bool { return one.Outcome.Status == 404 }), 1)
}

// A busy gateway keeps a sample, and failures have a share of their own.
func TestRingIsBoundedAndSampled(t *testing.T) {
	t.Parallel()
	r := recent.New()
	for range 5000 {
		r.Add(request("/users/1", 200))
	}
	assert.Less(t, len(r.Last(5000, all)), 1000)
	r.Add(request("/users/1", 500))
	assert.Equal(t, 500, r.Last(1, all)[0].Outcome.Status)
	r.Add(request("/\xff"+strings.Repeat("ä", 5000), 503))
	path := r.Last(1, all)[0].Path
	assert.Less(t, len(path), 300)
	assert.True(t, utf8.ValidString(path))
}

func BenchmarkAdd(b *testing.B) {
	r, in := recent.New(), request("/users/1", 200)
	b.ReportAllocs()
	for b.Loop() {
		r.Add(in)
	}
}
