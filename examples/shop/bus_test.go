package shop

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// ask starts all services of a shop on the Redis at address, and returns a function that calls them over the bus.
func ask(t *testing.T, address string) func(question caller.Call) (wire.ReplyMeta, string) {
	t.Helper()
	shop := New(connect(t, address), "test")
	require.NoError(t, shop.Seed(t.Context()))
	conn, err := bus.Connect(address, bus.Options{Namespace: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })

	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- workers.Run(busctx.With(ctx, conn), workers.Config{}, shop.Services()...) }()
	client := caller.New(conn, caller.Config{})
	t.Cleanup(func() {
		client.Close()
		stop()
		require.NoError(t, <-stopped)
	})
	require.NoError(t, client.WaitReady(ctx))

	return func(question caller.Call) (wire.ReplyMeta, string) {
		t.Helper()
		reply, err := client.Do(ctx, &question)
		require.NoError(t, err)
		meta, err := wire.ParseReplyMeta(reply.Meta)
		require.NoError(t, err)
		return meta, reply.Envelope
	}
}

func TestCreationsSayWhereTheRecordIs(t *testing.T) {
	t.Parallel()
	do := ask(t, testsupport.Miniredis(t))

	meta, envelope := do(caller.Call{
		Service: "users", Action: "CREATE_USER", Args: `[{"name":"Ada","email":"ada@example.com"}]`,
	})
	require.Equal(t, 201, meta.Status)
	require.Equal(t, "/users/3", meta.Location)
	require.JSONEq(t, `{"ok":true,"result":{"id":3,"name":"Ada","email":"ada@example.com","status":"active"}}`, envelope)

	meta, _ = do(caller.Call{
		Service: "payments", Action: "PAY", Args: `[{"user_id":3,"item_id":1,"gateway":"A","amount":1999}]`,
	})
	require.Equal(t, 201, meta.Status)
	require.Equal(t, "/payments/1", meta.Location)
}

func TestAnswersInDevMode(t *testing.T) {
	t.Parallel()
	requireAnswers(t, testsupport.Miniredis(t))
}

func TestAnswersWithARealRedis(t *testing.T) {
	t.Parallel()
	requireAnswers(t, testsupport.StartRedis(t).URL())
}

// requireAnswers makes one call of each kind to a shop on the Redis at address.
func requireAnswers(t *testing.T, address string) {
	t.Helper()
	do := ask(t, address)
	for _, test := range []struct {
		question caller.Call
		envelope string
	}{
		{
			caller.Call{Service: "users", Action: "LIST_USERS", Args: `[{"limit":1}]`, Safe: true},
			`{"ok":true,"result":{"users":[{"id":1,"name":"Oska","email":"oska@example.com","status":"active"}],"next_cursor":"1"}}`,
		},
		{
			caller.Call{Service: "users", Action: "COUNT_USERS", Safe: true},
			`{"ok":true,"result":{"count":2}}`,
		},
		{
			caller.Call{Service: "users", Action: "CHECK_PURCHASABLE", Args: `[1]`, Safe: true},
			`{"ok":true,"result":{"id":1,"purchasable":true}}`,
		},
		{
			caller.Call{Service: "users", Action: "UPDATE_USER", Args: `[1,{"name":"Oskar"}]`},
			`{"ok":true,"result":{"id":1,"name":"Oskar","email":"oska@example.com","status":"active"}}`,
		},
		{
			caller.Call{Service: "users", Action: "CREATE_USER", Args: `[{"name":"Ada","email":"ada@example.com"}]`},
			`{"ok":true,"result":{"id":3,"name":"Ada","email":"ada@example.com","status":"active"}}`,
		},
		{
			caller.Call{Service: "items", Action: "CHECK_AVAILABLE", Args: `[1]`, Safe: true},
			`{"ok":true,"result":{"id":1,"available":true,"stock":1000}}`,
		},
		{
			caller.Call{Service: "items", Action: "RESERVE_ITEM", Args: `[1,{"quantity":2}]`},
			`{"ok":true,"result":{"id":1,"reserved":2,"stock":998}}`,
		},
		{
			caller.Call{Service: "vouchers", Action: "GET_VOUCHER", Args: `["WELCOME10"]`, Safe: true},
			`{"ok":true,"result":{"code":"WELCOME10","used":false}}`,
		},
		{
			caller.Call{Service: "vouchers", Action: "REDEEM_VOUCHER", Args: `["WELCOME10",{"payment_id":7}]`},
			`{"ok":true,"result":{"code":"WELCOME10","used":true,"payment_id":7}}`,
		},
		{
			caller.Call{Service: "payments", Action: "LIST_PAYMENTS", Args: `[{"user_id":1}]`, Safe: true},
			`{"ok":true,"result":{"payments":[]}}`,
		},
		{
			caller.Call{Service: "users", Action: "DELETE_USER", Args: `[2]`},
			`{"ok":true,"result":{"id":2,"deleted":true}}`,
		},
	} {
		_, envelope := do(test.question)
		require.JSONEq(t, test.envelope, envelope, test.question.Action)
	}
}
