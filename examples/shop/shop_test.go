package shop

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

// connect returns a client of the Redis at address. It does not retry, so that a test sees how the shop handles failures.
func connect(t *testing.T, address string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(address)
	require.NoError(t, err)
	opts.MaxRetries = -1
	opts.ContextTimeoutEnabled = true
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}

// faulty returns a proxy to the Redis at address.
func faulty(t *testing.T, address string) *testsupport.Proxy {
	t.Helper()
	parsed, err := url.Parse(address)
	require.NoError(t, err)
	return testsupport.StartProxy(t, parsed.Host)
}

// seeded returns a client of a Redis with the records of the shop, under the namespace "test".
func seeded(t *testing.T) *redis.Client {
	t.Helper()
	rdb := connect(t, testsupport.Miniredis(t))
	require.NoError(t, New(rdb, "test").Seed(t.Context()))
	return rdb
}

// request returns the context of a handler for a request with this id. The same id stands for another delivery of the
// same request.
func request(t *testing.T, id string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return workers.NewContext(ctx, workers.Info{RequestID: id, Attempt: 1})
}

// requireRefused requires that err is an Error with this code and status.
func requireRefused(t *testing.T, err error, code workers.Code, status int) {
	t.Helper()
	var refused *workers.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
	require.Equal(t, status, refused.Status)
}

// requireFaults requires that err is BAD_REQUEST with exactly these fields, in this order.
func requireFaults(t *testing.T, err error, fields ...string) {
	t.Helper()
	requireRefused(t, err, "BAD_REQUEST", 400)
	var refused *workers.Error
	require.ErrorAs(t, err, &refused)
	faults, ok := refused.Details.([]workers.FieldError)
	require.True(t, ok, "details are %T", refused.Details)
	named := make([]string, len(faults))
	for i, fault := range faults {
		named[i] = fault.Field
	}
	require.Equal(t, fields, named)
}

func TestKeysOfEachServiceShareItsHashTag(t *testing.T) {
	t.Parallel()
	rdb := seeded(t)
	_, err := newUserStore(rdb, "test").create(request(t, "r1"), User{Name: "Ada"})
	require.NoError(t, err)
	_, err = newPaymentStore(rdb, "test").create(request(t, "r2"), NewPayment{UserID: 1}, "A-r2")
	require.NoError(t, err)

	keys, err := rdb.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		require.Regexp(t, `^test:\{(users|items|vouchers|payments)\}:shop:`, key)
	}
}
