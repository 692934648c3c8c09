package api_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/devredis"
)

// A program embeds a gateway.
func ExampleNew() {
	redis, err := devredis.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()
	ctx, stop := context.WithCancel(context.Background())
	gateway, err := api.New(ctx, api.Config{RedisURL: redis.URL(), Auth: api.AuthNone, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		stop()
		return
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		stop()
		return
	}
	served := make(chan error)
	go func() { served <- gateway.Serve(ctx, ln) }()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ln.Addr().String()+"/healthz", nil)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err == nil {
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Println(response.Status, string(body))
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// 200 OK {"ok":true,"result":{"status":"ok"}}
	// <nil>
}
