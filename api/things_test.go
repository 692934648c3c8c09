package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oskadev/mailroom/workers"
)

// thing is the data of the service things.
type thing struct {
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Ready bool     `json:"ready,omitempty"`
	Tags  []string `json:"tags,omitempty"`
}

// filter is a query with parameters of all types.
type filter struct {
	Limit  int64    `json:"limit,omitempty"`
	Ratio  float64  `json:"ratio,omitempty"`
	Active bool     `json:"active,omitempty"`
	Name   string   `json:"name,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	Sizes  []int64  `json:"sizes,omitempty"`
}

type trouble struct {
	Code    string          `json:"code"`
	Status  int             `json:"status"`
	Details json.RawMessage `json:"details,omitempty"`
}

// seen is the arguments that a handler got.
type seen struct {
	ID   int64           `json:"id"`
	Body json.RawMessage `json:"body,omitempty"`
}

// slowly raises the timeout of actions with many concurrent calls, for slow machines.
func slowly() workers.ActionOption { return workers.Timeout(patience) }

const panicText = "the secret of the panic"

// count counts the runs of all actions of a service.
func (s *stage) count(next workers.Handler) workers.Handler {
	return func(ctx context.Context, args []json.RawMessage) (any, error) {
		s.runs.Add(1)
		return next(ctx, args)
	}
}

// things is a service with an action of every kind.
func (s *stage) things() *workers.Service {
	things := workers.NewService("things", workers.WithVersion("1.2.3"))
	things.Use(s.count)
	addReads(things)
	addWrites(things)
	workers.Handle0(things, "STALL", func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}, workers.Route("GET /things/stall", "POST /things/stall"), workers.Unsafe(), workers.Timeout(200*time.Millisecond))
	workers.Handle0(things, "STALL_SAFELY", func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}, workers.Route("GET /things/stall/safely"), workers.Timeout(200*time.Millisecond))
	return things
}

func addReads(things *workers.Service) {
	// The raw arguments on the bus, as a worker in any language gets them.
	raw := func(_ context.Context, args json.RawMessage) (json.RawMessage, error) { return args, nil }
	workers.Handle0(things, "COUNT", func(context.Context) (int, error) { return 3, nil }, workers.Route("GET /things/count"))
	workers.Handle1(things, "GET_THING", func(_ context.Context, id int64) (seen, error) { return seen{ID: id}, nil },
		workers.Route("GET /things/:id"))
	workers.Handle1(things, "GET_NAMED", func(_ context.Context, name string) (string, error) { return name, nil },
		workers.Route("GET /things/named/:name"), slowly())
	workers.Handle1(things, "GET_RAW", raw, workers.Route("GET /things/raw/:anything"))
	workers.Handle2(things, "GET_BOTH", func(_ context.Context, id int64, f filter) (map[string]any, error) {
		return map[string]any{"id": id, "filter": f}, nil
	}, workers.Route("GET /things/:id/both"))
	workers.Handle1(things, "LIST", func(_ context.Context, f filter) (filter, error) { return f, nil },
		workers.Route("GET /things"), slowly())
	workers.Handle1(things, "FIND", func(_ context.Context, q struct {
		Text string `json:"text"`
		Page int    `json:"page"`
	},
	) (string, error) {
		return fmt.Sprint(q.Text, " ", q.Page), nil
	}, workers.Route("GET /things/find"))
	workers.Handle0(things, "INFO", func(ctx context.Context) (workers.Info, error) { return workers.InfoFrom(ctx), nil },
		workers.Route("GET /things/info"))
}

func addWrites(things *workers.Service) {
	workers.Handle1(things, "CREATE", func(ctx context.Context, in thing) (thing, error) {
		workers.SetStatus(ctx, http.StatusCreated)
		workers.SetLocation(ctx, "/things/7")
		if in.Name == "Ö b" {
			workers.SetLocation(ctx, "/things/"+in.Name)
		}
		return in, nil
	}, workers.Route("POST /things"))
	workers.Handle2(things, "KEEP", func(_ context.Context, id int64, body json.RawMessage) (seen, error) {
		return seen{ID: id, Body: body}, nil
	}, workers.Route("PUT /things/:id"), slowly())
	workers.Handle1(things, "TOUCH", func(_ context.Context, id int64) (seen, error) { return seen{ID: id}, nil },
		workers.Route("POST /things/:id/touch"), slowly())
	workers.Handle1(things, "REMOVE", func(_ context.Context, id int64) (seen, error) { return seen{ID: id}, nil },
		workers.Route("DELETE /things/:id"))
	workers.Handle1(things, "FAIL", func(_ context.Context, in trouble) (string, error) {
		err := workers.Fail(workers.Code(in.Code), in.Status, "as you wished").WithCause(errors.New("the secret cause"))
		if in.Details != nil {
			err = err.WithDetails(in.Details)
		}
		return "", err
	}, workers.Route("POST /things/fail"))
	workers.Handle0(things, "PANIC", func(context.Context) (string, error) {
		panic(panicText) //nolint:forbidigo // the test needs a panic
	}, workers.Route("POST /things/panic"))
	workers.Handle0(things, "BREAK", func(context.Context) (string, error) { return "", errors.New("the secret error") },
		workers.Route("POST /things/break"))
	workers.Handle0(things, "RETRY", func(ctx context.Context) (int, error) {
		if workers.Attempt(ctx) == 1 {
			return 0, workers.NoOutcome(errors.New("the database is away"))
		}
		return workers.Attempt(ctx), nil
	}, workers.Route("POST /things/retry"))
}

// quick is a second service.
func (s *stage) quick() *workers.Service {
	quick := workers.NewService("quick")
	workers.Handle0(quick, "COUNT", func(context.Context) (int, error) { return 7, nil }, workers.Route("GET /quick/count"))
	return quick
}

// hold starts a service whose runs report their begin and end when the test releases them.
func (s *stage) hold() (entered <-chan struct{}, release chan struct{}) {
	s.t.Helper()
	began, release := make(chan struct{}, 100), make(chan struct{})
	slow := workers.NewService("slow")
	workers.Handle0(slow, "HOLD", func(ctx context.Context) (string, error) {
		began <- struct{}{}
		select {
		case <-release:
			return "held", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}, workers.Route("POST /slow/hold"))
	workers.Handle0(slow, "CACHED", func(context.Context) (int, error) { return 1, nil },
		workers.Route("GET /slow/cached", "GET /slow/cached/short"), workers.Cache(time.Minute))
	workers.Handle0(slow, "READY", func(context.Context) (int, error) { return 1, nil }, workers.Route("GET /slow/ready"))
	s.work(slow)
	s.awaitRoute("/slow/ready")
	return began, release
}
