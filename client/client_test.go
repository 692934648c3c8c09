package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/client"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
	"github.com/oskadev/mailroom/workers/workerstest"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

type user struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// users counts how often its actions run.
type users struct {
	reads, writes atomic.Int64
	release       chan struct{} // CREATE_USER waits for it; nil: it does not
	info          atomic.Pointer[workers.Info]
}

func (u *users) service() *workers.Service {
	s := workers.NewService("users")
	workers.Handle1(s, "GET_USER", func(ctx context.Context, id int64) (user, error) {
		u.reads.Add(1)
		info := workers.InfoFrom(ctx)
		u.info.Store(&info)
		return user{ID: id, Name: "Oska"}, nil
	}, workers.Route("GET /users/:id"), workers.Cache(time.Minute, "user:{0}"))
	workers.Handle1(s, "CREATE_USER", func(ctx context.Context, in user) (user, error) {
		if in.Name == "" {
			return user{}, workers.Fail("NAME_MISSING", 422, "a user needs a name").WithDetails(map[string]string{"field": "name"})
		}
		if u.release != nil {
			select {
			case <-u.release:
			case <-ctx.Done():
				return user{}, ctx.Err()
			}
		}
		return user{ID: u.writes.Add(1), Name: in.Name}, nil
	}, workers.Route("POST /users"), workers.Invalidates("user:1"))
	return s
}

func TestCallsAreCachedAsTheServiceDeclares(t *testing.T) {
	t.Parallel()
	u := &users{}
	s := workerstest.Start(t, u.service())
	for range 3 {
		got, err := client.Call[user](t.Context(), s.Client.With(client.RequestID("mine")), "users", "GET_USER", 1)
		require.NoError(t, err)
		assert.Equal(t, user{ID: 1, Name: "Oska"}, got)
	}
	assert.EqualValues(t, 1, u.reads.Load())
	assert.Equal(t, "mine", u.info.Load().CallerRequestID)
	_, err := s.Client.Do(t.Context(), "users", "CREATE_USER", user{Name: "Ada"})
	require.NoError(t, err)
	_, err = s.Client.Do(t.Context(), "users", "GET_USER", 1)
	require.NoError(t, err)
	assert.EqualValues(t, 2, u.reads.Load(), "the write invalidated the answer")
}

func TestErrorsKeepCodeStatusAndDetails(t *testing.T) {
	t.Parallel()
	s := workerstest.Start(t, (&users{}).service())
	_, err := s.Client.Do(t.Context(), "users", "CREATE_USER", user{})
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, client.Code("NAME_MISSING"), failed.Code)
	assert.Equal(t, 422, failed.Status)
	assert.Equal(t, "a user needs a name", failed.Message)
	details, err := json.Marshal(failed.Details)
	require.NoError(t, err)
	assert.JSONEq(t, `{"field":"name"}`, string(details))
	for _, c := range []struct {
		service, action string
		code            client.Code
	}{{"users", "NO_SUCH_ACTION", workers.CodeNotSupported}, {"items", "GET_ITEM", workers.CodeUnavailable}} {
		_, err := s.Client.Do(t.Context(), c.service, c.action)
		assert.Equal(t, c.code, client.CodeOf(err), c.action)
	}
	_, err = s.Client.Do(t.Context(), "users", "GET_USER", func() {})
	require.ErrorContains(t, err, "argument 0")
	_, err = client.Call[int](t.Context(), s.Client, "users", "GET_USER", 1)
	require.ErrorContains(t, err, "decode the result")
}

func TestKeyRunsAnActionOnce(t *testing.T) {
	t.Parallel()
	u := &users{}
	s := workerstest.Start(t, u.service())
	once := s.Client.With(client.Key("order-1"))
	for range 3 {
		got, err := client.Call[user](t.Context(), once, "users", "CREATE_USER", user{Name: "Ada"})
		require.NoError(t, err)
		assert.EqualValues(t, 1, got.ID)
	}
	_, err := once.Do(t.Context(), "users", "CREATE_USER", user{Name: "Eve"})
	assert.Equal(t, client.Code("IDEMPOTENCY_KEY_REUSED"), client.CodeOf(err))
	guess := wire.DerivedID("client", "users", "CREATE_USER", "order-1").String()
	_, err = s.Client.Outcome(t.Context(), client.Ticket("users."+guess))
	require.ErrorIs(t, err, client.ErrUnknownTicket, "the key does not tell the ticket")
	got, err := client.Call[user](t.Context(), s.Client.With(client.Key("order-2")), "users", "CREATE_USER", user{Name: "Eve"})
	require.NoError(t, err)
	assert.EqualValues(t, 2, got.ID)
}

func TestSendReturnsATicket(t *testing.T) {
	t.Parallel()
	u := &users{release: make(chan struct{})}
	s := workerstest.Start(t, u.service())
	ticket, err := s.Client.Send(t.Context(), "users", "CREATE_USER", user{Name: "Ada"})
	require.NoError(t, err)
	now, err := s.Client.Outcome(t.Context(), ticket)
	require.NoError(t, err)
	assert.False(t, now.Ended(), now.State)
	assert.Equal(t, "CREATE_USER", now.Action)
	close(u.release)
	end, err := s.Client.Wait(t.Context(), ticket)
	require.NoError(t, err)
	assert.Equal(t, "done", end.State)
	require.NoError(t, end.Err)
	assert.JSONEq(t, `{"id":1,"name":"Ada"}`, string(end.Result))

	failed, err := s.Client.Send(t.Context(), "users", "CREATE_USER", user{})
	require.NoError(t, err)
	end, err = s.Client.Wait(t.Context(), failed)
	require.NoError(t, err)
	assert.Equal(t, client.Code("NAME_MISSING"), client.CodeOf(end.Err))
	end, err = s.Client.Cancel(t.Context(), failed)
	require.NoError(t, err)
	assert.Equal(t, "done", end.State, "it has ended already")
	for _, unknown := range []client.Ticket{"", "users", "users.1", "users.00000000-0000-4000-8000-000000000000"} {
		_, err := s.Client.Outcome(t.Context(), unknown)
		require.ErrorIs(t, err, client.ErrUnknownTicket, string(unknown))
	}
}

func TestTicketsWithoutRedisAreUnavailable(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	c, err := client.New(t.Context(), client.Config{Redis: redis.URL()})
	require.NoError(t, err)
	defer c.Close()
	redis.Kill()
	const ticket = client.Ticket("users.00000000-0000-4000-8000-000000000000")
	for name, get := range map[string]func(context.Context, client.Ticket) (client.Outcome, error){
		"Outcome": c.Outcome, "Wait": c.Wait, "Cancel": c.Cancel,
	} {
		_, err := get(t.Context(), ticket)
		assert.Equal(t, workers.CodeUnavailable, client.CodeOf(err), "%s: %v", name, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = get(ended, ticket)
		assert.ErrorIs(t, err, context.Canceled, name)
	}
}

func TestDeadlinesEndCalls(t *testing.T) {
	t.Parallel()
	u := &users{release: make(chan struct{})}
	s := workerstest.Start(t, u.service())
	defer close(u.release)
	_, err := s.Client.With(client.Timeout(50*time.Millisecond)).Do(t.Context(), "users", "CREATE_USER", user{Name: "Ada"})
	assert.Equal(t, workers.CodeTimeout, client.CodeOf(err))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Client.Do(ctx, "users", "CREATE_USER", user{Name: "Ada"})
	assert.True(t, client.CodeOf(err) == workers.CodeTimeout || errors.Is(err, context.DeadlineExceeded), err)
}

func TestNewReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := client.New(t.Context(), client.Config{Redis: "http://localhost"})
	require.ErrorContains(t, err, "scheme")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = client.New(ctx, client.Config{Redis: "redis://127.0.0.1:" + strconv.Itoa(testsupport.FreePort(t))})
	require.ErrorContains(t, err, "not subscribed")
}
