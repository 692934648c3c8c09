package client_test

import (
	"context"
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

// exampleUsers is a service with a safe and an unsafe action.
func exampleUsers() *workers.Service {
	created := int64(0)
	users := workers.NewService("users")
	workers.Handle1(users, "GET_USER", func(_ context.Context, id int64) (User, error) {
		if id != 1 {
			return User{}, workers.NotFound(fmt.Sprintf("there is no user %d", id))
		}
		return User{ID: id, Name: "Oska"}, nil
	}, workers.Route("GET /users/:id"))
	workers.Handle1(users, "CREATE_USER", func(_ context.Context, in User) (User, error) {
		created++
		return User{ID: created, Name: in.Name}, nil
	}, workers.Route("POST /users"))
	return users
}

// connect runs the service on a Redis in memory, and returns its address.
func connect(ctx context.Context) (url string, stop func()) {
	redis, err := devredis.Start()
	if err != nil {
		return "", func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	users, ready, ended := exampleUsers(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = workers.Run(ctx, workers.Config{RedisURL: redis.URL(), Logger: quiet(), IdleLimit: 300 * time.Millisecond, OnReady: func() { close(ready) }}, users)
	}()
	<-ready
	c, err := client.New(ctx, client.Config{Redis: redis.URL(), Logger: quiet()})
	if err != nil {
		return "", cancel
	}
	defer c.Close()
	for err := error(workers.Fail(workers.CodeUnavailable, 503, "")); client.CodeOf(err) == workers.CodeUnavailable; {
		_, err = c.Do(ctx, "users", "GET_USER", 1) // a worker tells that it is there right after it starts
	}
	return redis.URL(), func() {
		cancel()
		<-ended
		redis.Close()
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func ExampleCall() {
	ctx := context.Background()
	url, stop := connect(ctx)
	defer stop()
	c, err := client.New(ctx, client.Config{Redis: url, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	user, err := client.Call[User](ctx, c, "users", "GET_USER", 1)
	fmt.Println(user.Name, err)
	_, err = client.Call[User](ctx, c, "users", "GET_USER", 7)
	fmt.Println(client.CodeOf(err) == workers.CodeNotFound, err)
	// Output:
	// Oska <nil>
	// true NOT_FOUND: there is no user 7
}

// Under a key, an unsafe action runs once.
func ExampleKey() {
	ctx := context.Background()
	url, stop := connect(ctx)
	defer stop()
	c, err := client.New(ctx, client.Config{Redis: url, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	once := c.With(client.Key("signup-42"))
	for range 2 {
		user, err := client.Call[User](ctx, once, "users", "CREATE_USER", User{Name: "Ada"})
		fmt.Println(user.ID, err)
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
}

// Send does not wait for the outcome. The ticket finds it later, from any process.
func ExampleClient_Send() {
	ctx := context.Background()
	url, stop := connect(ctx)
	defer stop()
	c, err := client.New(ctx, client.Config{Redis: url, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ticket, err := c.Send(ctx, "users", "CREATE_USER", User{Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	outcome, err := c.Wait(ctx, ticket)
	fmt.Println(outcome.State, string(outcome.Result), err)
	// Output: done {"id":1,"name":"Ada"} <nil>
}

// Options hold for all calls of the client that With returns.
func ExampleClient_With() {
	ctx := context.Background()
	url, stop := connect(ctx)
	defer stop()
	c, err := client.New(ctx, client.Config{Redis: url, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	impatient := c.With(client.Timeout(2*time.Second), client.RequestID("checkout-7"))
	user, err := client.Call[User](ctx, impatient, "users", "GET_USER", 1)
	fmt.Println(user.Name, err)
	// Output: Oska <nil>
}
