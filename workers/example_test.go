package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/devredis"
	"github.com/oskadev/mailroom/workers"
)

type User struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type UserPatch struct {
	Name string `json:"name"`
}

// serving runs services on a Redis in memory while f calls them. A test of a service
// uses package workerstest instead.
func serving(f func(ctx context.Context, c *client.Client), services ...*workers.Service) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	redis, err := devredis.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()
	log := slog.New(slog.DiscardHandler)
	ended, ready := make(chan error), make(chan struct{})
	go func() {
		ended <- workers.Run(ctx, workers.Config{RedisURL: redis.URL(), Logger: log, IdleLimit: 300 * time.Millisecond, OnReady: func() { close(ready) }}, services...)
	}()
	<-ready
	c, err := client.New(ctx, client.Config{Redis: redis.URL(), Logger: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range services { // a worker registers right after its start
		for client.CodeOf(doNothing(ctx, c, s)) == workers.CodeUnavailable {
		}
	}
	f(ctx, c)
	c.Close()
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
}

func doNothing(ctx context.Context, c *client.Client, s *workers.Service) error {
	_, err := c.Do(ctx, s.Name(), "NO_SUCH_ACTION")
	return err
}

// show calls an action and prints its result, or the error.
func show(s *workers.Service, action string, args ...any) {
	serving(func(ctx context.Context, c *client.Client) { printResult(c.Do(ctx, s.Name(), action, args...)) }, s)
}

func printResult(result json.RawMessage, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(result))
}

func getUser(_ context.Context, id int64) (User, error) {
	if id != 1 {
		return User{}, workers.NotFound(fmt.Sprintf("there is no user %d", id))
	}
	return User{ID: id, Name: "Oska"}, nil
}

// A service has a name, a version and actions. Route adds an HTTP route to an action.
func Example() {
	users := workers.NewService("users", workers.WithVersion("1.4.0"))
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /users/:id"))
	// In a program: err := workers.Run(ctx, workers.Config{RedisURL: url}, users)
	show(users, "GET_USER", 1)
	// Output: {"id":1,"name":"Oska"}
}

func ExampleHandle0() {
	users := workers.NewService("users")
	workers.Handle0(users, "COUNT_USERS", func(context.Context) (int, error) { return 2, nil }, workers.Route("GET /users/count"))
	show(users, "COUNT_USERS")
	// Output: 2
}

// The handler does not run if an argument does not fit its type.
func ExampleHandle1() {
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /users/:id"))
	show(users, "GET_USER", "one")
	// Output: BAD_REQUEST: id: want integer, got string "one"
}

func ExampleHandle2() {
	users := workers.NewService("users")
	workers.Handle2(users, "UPDATE_USER", func(_ context.Context, id int64, in UserPatch) (User, error) {
		return User{ID: id, Name: in.Name}, nil
	}, workers.Route("PUT /users/:id", "PATCH /users/:id"))
	show(users, "UPDATE_USER", 1, UserPatch{Name: "Ada"})
	// Output: {"id":1,"name":"Ada"}
}

// One struct holds the parameters of the path and the query or the body.
func ExampleHandle() {
	type listNotes struct {
		Owner int64 `path:"id"`
		Limit int   `query:"limit,omitempty"`
	}
	users := workers.NewService("users")
	workers.Handle(users, "LIST_NOTES", func(_ context.Context, in listNotes) (string, error) {
		return fmt.Sprintf("%d notes of user %d", in.Limit, in.Owner), nil
	}, workers.Route("GET /users/:id/notes"))
	show(users, "LIST_NOTES", 1, map[string]int{"limit": 10})
	// Output: "10 notes of user 1"
}

// A failure with a code of the service is an outcome.
func ExampleFail() {
	vouchers := workers.NewService("vouchers")
	workers.Handle1(vouchers, "REDEEM_VOUCHER", func(_ context.Context, code string) (string, error) {
		return "", workers.Fail("VOUCHER_USED", 409, "voucher "+code+" was redeemed before")
	})
	show(vouchers, "REDEEM_VOUCHER", "USED10")
	// Output: VOUCHER_USED: voucher USED10 was redeemed before
}

func ExampleNotFound() {
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /users/:id"))
	show(users, "GET_USER", 7)
	// Output: NOT_FOUND: there is no user 7
}

// BadRequest names the fields that do not fit.
func ExampleBadRequest() {
	err := workers.BadRequest(workers.FieldError{Field: "email", Problem: "is not an address"})
	fmt.Println(err, err.Status)
	// Output: BAD_REQUEST: email: is not an address 400
}

// CodeOf returns the code of a failure.
func ExampleCodeOf() {
	fmt.Println(workers.CodeOf(workers.Conflict("sold out")) == workers.CodeConflict)
	fmt.Println(workers.CodeOf(errors.New("connection lost")))
	// Output:
	// true
	// INTERNAL
}

// The worker logs the cause of an error; the caller does not see it.
func ExampleError_WithCause() {
	cause := errors.New("dial tcp: connection refused")
	err := workers.Fail("STORE_DOWN", 503, "try again later").WithCause(cause)
	fmt.Println(err)
	fmt.Println(errors.Is(err, cause))
	// Output:
	// STORE_DOWN: try again later
	// true
}

// Equal reads run once, over all gateways, until the answer expires or a write
// invalidates its tag.
func ExampleCache() {
	runs := 0
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", func(ctx context.Context, id int64) (User, error) {
		runs++
		return getUser(ctx, id)
	}, workers.Route("GET /users/:id"), workers.Cache(30*time.Second, "user:{0}"))
	serving(func(ctx context.Context, c *client.Client) {
		for range 3 {
			_, _ = c.Do(ctx, "users", "GET_USER", 1)
		}
		fmt.Println(runs, "run")
	}, users)
	// Output: 1 run
}

func ExampleInvalidates() {
	name := "Oska"
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", func(_ context.Context, id int64) (User, error) {
		return User{ID: id, Name: name}, nil
	}, workers.Route("GET /users/:id"), workers.Cache(30*time.Second, "user:{0}"))
	workers.Handle2(users, "UPDATE_USER", func(_ context.Context, id int64, in UserPatch) (User, error) {
		name = in.Name
		return User{ID: id, Name: name}, nil
	}, workers.Route("PUT /users/:id"), workers.Invalidates("user:{0}"))
	serving(func(ctx context.Context, c *client.Client) {
		printResult(c.Do(ctx, "users", "GET_USER", 1))
		_, _ = c.Do(ctx, "users", "UPDATE_USER", 1, UserPatch{Name: "Ada"})
		printResult(c.Do(ctx, "users", "GET_USER", 1))
	}, users)
	// Output:
	// {"id":1,"name":"Oska"}
	// {"id":1,"name":"Ada"}
}

// Requests of one lane run one at a time, in the order in which they were accepted.
func ExampleLane() {
	stock := 10 // needs no lock: all requests of item 1 share a lane
	items := workers.NewService("items")
	workers.Handle2(items, "RESERVE_ITEM", func(_ context.Context, _ int64, quantity int) (int, error) {
		stock -= quantity
		return stock, nil
	}, workers.Lane("item:{0}"))
	serving(func(ctx context.Context, c *client.Client) {
		done := make(chan error)
		for range 4 {
			go func() {
				_, err := c.Do(ctx, "items", "RESERVE_ITEM", 1, 2)
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println(stock, "left")
	}, items)
	// Output: 2 left
}

// A handler calls other services with the deadline, trace and principal of its own
// request.
func ExampleCallFor() {
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /users/:id"))
	greetings := workers.NewService("greetings")
	workers.Handle1(greetings, "GREET", func(ctx context.Context, id int64) (string, error) {
		user, err := workers.CallFor[User](ctx, "users", "GET_USER", id)
		if err != nil {
			return "", err // with the code and status of users
		}
		return "Hello " + user.Name, nil
	}, workers.Safe())
	serving(func(ctx context.Context, c *client.Client) {
		printResult(c.Do(ctx, "greetings", "GREET", 1))
		printResult(c.Do(ctx, "greetings", "GREET", 7))
	}, users, greetings)
	// Output:
	// "Hello Oska"
	// NOT_FOUND: there is no user 7
}

// RequestID is the same on every delivery of a request: an effect that stores it is
// made once.
func ExampleRequestID() {
	paid := map[string]int64{} // in a real service: a unique column
	payments := workers.NewService("payments")
	workers.Handle1(payments, "PAY", func(ctx context.Context, amount int64) (int64, error) {
		id := workers.RequestID(ctx)
		if before, again := paid[id]; again {
			return before, nil
		}
		paid[id] = amount
		return amount, nil
	})
	show(payments, "PAY", 500)
	// Output: 500
}

// Retry calls a store until it answers. When the deadline ends first there is no
// outcome, and the request is delivered again.
func ExampleRetry() {
	tries := 0
	result, err := workers.Retry(context.Background(), func() (string, error) {
		if tries++; tries < 3 {
			return "", errors.New("connection lost")
		}
		return "stored", nil
	})
	fmt.Println(result, err, tries)
	// Output: stored <nil> 3
}

// Middleware wraps all actions of a service.
func ExampleService_Use() {
	users := workers.NewService("users")
	users.Use(func(next workers.Handler) workers.Handler {
		return func(ctx context.Context, args []json.RawMessage) (any, error) {
			fmt.Println("before", workers.InfoFrom(ctx).Action)
			defer fmt.Println("after")
			return next(ctx, args)
		}
	})
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /users/:id"))
	show(users, "GET_USER", 1)
	// Output:
	// before GET_USER
	// after
	// {"id":1,"name":"Oska"}
}

// A test can call a handler directly, with a context of NewContext.
func ExampleNewContext() {
	create := func(ctx context.Context, in UserPatch) (User, error) {
		if in.Name == "" {
			return User{}, workers.BadRequest(workers.FieldError{Field: "name", Problem: "must not be empty"})
		}
		workers.SetStatus(ctx, 201)
		workers.SetLocation(ctx, "/users/3")
		return User{ID: 3, Name: in.Name}, nil
	}
	ctx := workers.NewContext(context.Background(), workers.Info{RequestID: "r1", Attempt: 1})
	user, err := create(ctx, UserPatch{Name: "Ada"})
	fmt.Println(user.Name, err)
	fmt.Println(workers.RecordedIn(ctx).Status, workers.RecordedIn(ctx).Location)
	// Output:
	// Ada <nil>
	// 201 /users/3
}

// The gateway authenticates callers. A handler reads the caller and its scopes.
func ExamplePrincipalFrom() {
	ctx := workers.NewContext(context.Background(), workers.Info{
		Principal: &workers.Principal{Subject: "key:k2jx7mqa5zt4wv6e", Scopes: []string{"users:read"}},
	})
	fmt.Println(workers.PrincipalFrom(ctx).Has("users:read"), workers.PrincipalFrom(ctx).Has("users:write"))
	fmt.Println(workers.PrincipalFrom(context.Background()).Has("users:read"), "for an anonymous caller")
	// Output:
	// true false
	// false for an anonymous caller
}

// Scope says which scopes a caller of the gateway needs.
func ExampleScope() {
	users := workers.NewService("users")
	workers.Handle1(users, "DELETE_USER", func(context.Context, int64) (bool, error) { return true, nil },
		workers.Route("DELETE /users/:id"), workers.Scope("users:write"))
	manifest, err := users.Manifest()
	var read struct {
		Actions []struct{ Scopes []string }
	}
	fmt.Println(json.Unmarshal(manifest, &read), err, read.Actions[0].Scopes)
	// Output: <nil> <nil> [users:write]
}

// Run does not start a service with a faulty declaration. The error names all faults.
func ExampleService_Manifest() {
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", getUser, workers.Route("GET /people/:id"))
	_, err := users.Manifest()
	fmt.Println(err)
	// Output: service users: action GET_USER: route "GET /people/:id": want a path below /users with literal and :parameter segments
}

// A handler that does not know whether its effect happened has no outcome. The
// request is delivered again.
func ExampleNoOutcome() {
	err := workers.NoOutcome(errors.New("the database did not answer"))
	fmt.Println(err)
	// Output: no outcome: the database did not answer
}
