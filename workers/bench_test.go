package workers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/oskadev/mailroom/bus/consumer"
	"github.com/oskadev/mailroom/bus/wire"
)

func BenchmarkSplitArray(b *testing.B) {
	for _, array := range []struct{ name, text string }{
		{"one number", `[1]`},
		{"number and object", `[1,{"name":"Oska","email":"oska@example.com","tags":["a","b, c"]}]`},
	} {
		b.Run(array.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(splitArray(array.text)) == 0 {
					b.Fatal("no elements")
				}
			}
		})
	}
}

type benchUser struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type benchPatch struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// BenchmarkExecute runs a handler as a delivery does: arguments, deadline,
// handler, result, envelope.
func BenchmarkExecute(b *testing.B) {
	s := NewService("users")
	runs := 0
	Handle1(s, "GET_USER", func(_ context.Context, id int64) (benchUser, error) {
		runs++
		return benchUser{ID: id, Name: "Oska", Email: "oska@example.com"}, nil
	}, Route("GET /users/:id"))
	Handle2(s, "UPDATE_USER", func(_ context.Context, id int64, in benchPatch) (benchUser, error) {
		runs++
		return benchUser{ID: id, Name: in.Name, Email: "oska@example.com"}, nil
	}, Route("PUT /users/:id"))
	if _, err := s.Declare(); err != nil {
		b.Fatal(err)
	}
	e := newExecutor(s, slog.New(slog.DiscardHandler), time.Now)
	for _, action := range []struct{ name, args string }{
		{"GET_USER", `[1]`},
		{"UPDATE_USER", `[1,{"name":"Oska"}]`},
	} {
		b.Run(action.name, func(b *testing.B) {
			d := &consumer.Delivery{Attempt: 1, Request: wire.Request{
				ID: "0190a5b4-7c3e-7d52-9f3e-0123456789ab", Action: action.name, Args: action.args,
				Deadline: time.Now().Add(time.Hour).UnixMilli(),
			}}
			runs = 0
			b.ReportAllocs()
			for b.Loop() {
				e.run(b.Context(), d)
			}
			if runs != b.N {
				b.Fatalf("the handler ran %d times of %d", runs, b.N)
			}
		})
	}
}
