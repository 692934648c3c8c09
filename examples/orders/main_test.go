package main

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

func TestOrderCallsTheShop(t *testing.T) {
	t.Parallel()
	conn, err := bus.Connect(testsupport.Miniredis(t), bus.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	example := shop.New(conn.Redis(), wire.DefaultNamespace)
	require.NoError(t, example.Seed(t.Context()))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		assert.NoError(t, workers.Run(busctx.With(ctx, conn), workers.Config{}, service(), example.Users(), example.Items()))
	})
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	registry := registry.New(conn, nil)
	testsupport.Eventually(t, 10*time.Second, "all serve", func() bool {
		return registry.Look(t.Context()) == nil && len(registry.Snapshot()) == 3
	})
	client := caller.New(conn, caller.Config{})
	t.Cleanup(client.Close)
	for args, want := range map[string]string{
		`[{"user_id":1,"item_id":1}]`: `"stock":999`,
		`[{"user_id":2,"item_id":1}]`: `USER_SUSPENDED`,
		`[{"user_id":1,"item_id":2}]`: `ITEM_UNAVAILABLE`,
	} {
		reply, err := client.Do(t.Context(), &caller.Call{Service: "orders", Action: "ORDER", Args: args})
		require.NoError(t, err)
		assert.Contains(t, reply.Envelope, want)
	}
}
