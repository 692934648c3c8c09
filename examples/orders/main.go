// Command orders is a service that calls other services: an order checks its user and reserves its item. Start the gateway
// with `go run .`, which prints the port of its Redis. Then:
//
//	go run ./examples/orders redis://127.0.0.1:PORT
//	curl --json '{"user_id":1,"item_id":1}' http://127.0.0.1:8080/orders
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/oskadev/mailroom/workers"
)

// NewOrder is the argument of ORDER.
type NewOrder struct {
	UserID int64 `json:"user_id"`
	ItemID int64 `json:"item_id"`
}

// Order is the result of ORDER.
type Order struct {
	ID    string `json:"id"`
	Stock int64  `json:"stock" description:"number of items left"`
}

// order may run again if its worker dies. The item is reserved only once: a repeated call of the same request returns the
// outcome of the first one.
func order(ctx context.Context, in NewOrder) (Order, error) {
	if _, err := workers.Call(ctx, "users", "CHECK_PURCHASABLE", in.UserID); err != nil {
		return Order{}, err // for example 403 USER_SUSPENDED, the error of the users service
	}
	reserved, err := workers.CallFor[struct {
		Stock int64 `json:"stock"`
	}](ctx, "items", "RESERVE_ITEM", in.ItemID)
	if err != nil {
		return Order{}, err
	}
	workers.SetStatus(ctx, http.StatusCreated)
	return Order{ID: workers.RequestID(ctx), Stock: reserved.Stock}, nil
}

func service() *workers.Service {
	orders := workers.NewService("orders", workers.WithVersion("1.0.0"))
	workers.Handle1(orders, "ORDER", order, workers.Route("POST /orders"), workers.Summary("Reserves an item for a user"))
	return orders
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	redis := "redis://127.0.0.1:6379"
	if len(os.Args) > 1 {
		redis = os.Args[1]
	}
	if err := workers.Run(ctx, workers.Config{RedisURL: redis}, service()); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
