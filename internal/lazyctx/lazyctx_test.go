package lazyctx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type key struct{}

// owner holds a context as the users of this package do.
type owner struct{ Context }

func TestDeadlineEndsTheContextAndThoseDerivedFromIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(time.Second)
		o := &owner{WithDeadline(t.Context(), at)}
		defer o.Cancel(nil)
		derived, cancel := context.WithCancel(o)
		defer cancel()
		deadline, ok := derived.Deadline()
		require.True(t, ok)
		assert.Equal(t, at, deadline)
		require.NoError(t, o.Err())
		<-derived.Done()
		assert.Equal(t, at, time.Now())
		require.ErrorIs(t, derived.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, o.Err(), context.DeadlineExceeded)
	})
}

func TestDeadlineIsTheEarlierOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	parent, cancel := context.WithDeadline(t.Context(), now.Add(time.Minute))
	defer cancel()
	for _, c := range []*owner{{New(parent)}, {WithDeadline(parent, now.Add(time.Hour))}} {
		deadline, ok := c.Deadline()
		assert.True(t, ok)
		assert.Equal(t, now.Add(time.Minute), deadline)
	}
	earlier := &owner{WithDeadline(parent, now.Add(time.Second))}
	deadline, ok := earlier.Deadline()
	assert.True(t, ok)
	assert.Equal(t, now.Add(time.Second), deadline)
	without := &owner{New(t.Context())}
	_, ok = without.Deadline()
	assert.False(t, ok)
}

func TestCancelEndsTheContextWithTheFirstCause(t *testing.T) {
	t.Parallel()
	errFirst, errSecond := errors.New("first"), errors.New("second")
	used := &owner{New(t.Context())}
	derived, cancel := context.WithCancel(used)
	defer cancel()
	used.Cancel(errFirst)
	used.Cancel(errSecond)
	<-derived.Done()
	require.ErrorIs(t, derived.Err(), context.Canceled)
	require.ErrorIs(t, used.Err(), context.Canceled)
	require.Equal(t, errFirst, context.Cause(derived))

	unused := &owner{New(t.Context())} // until it has ended
	unused.Cancel(errFirst)
	unused.Cancel(errSecond)
	<-unused.Done()
	require.Equal(t, errFirst, context.Cause(unused))

	plain := &owner{New(t.Context())}
	plain.Cancel(nil)
	require.Equal(t, context.Canceled, context.Cause(plain))
}

func TestCancelEndsAContextWithADeadline(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{true, false} {
		c := &owner{WithDeadline(t.Context(), time.Now().Add(time.Hour))}
		if used {
			require.NoError(t, c.Err())
		}
		c.Cancel(nil)
		<-c.Done()
		require.Equal(t, context.Canceled, c.Err())
	}
}

func TestParentEndsTheContextWithItsCause(t *testing.T) {
	t.Parallel()
	errTaken := errors.New("taken")
	parent, take := context.WithCancelCause(context.WithValue(t.Context(), key{}, "v"))
	c := &owner{WithDeadline(parent, time.Now().Add(time.Hour))}
	defer c.Cancel(nil)
	assert.Equal(t, "v", c.Value(key{}))
	assert.Equal(t, parent, c.Parent())
	done := c.Done()
	take(errTaken)
	<-done
	require.Equal(t, errTaken, context.Cause(c))
}

func TestUnusedContextAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := &owner{}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		o.Context = WithDeadline(parent, time.Time{}.Add(time.Hour))
		o.Deadline()
		o.Cancel(nil)
	}))
}

// BenchmarkContext compares a context that nobody asks with one that is asked.
func BenchmarkContext(b *testing.B) {
	parent, cancel := context.WithCancel(b.Context())
	defer cancel()
	at := time.Now().Add(time.Hour)
	for _, asks := range []bool{false, true} {
		name := map[bool]string{false: "unused", true: "used"}[asks]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := &owner{WithDeadline(parent, at)}
				if asks {
					_ = c.Done()
				}
				c.Cancel(nil)
			}
		})
		b.Run("package context "+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, end := context.WithDeadline(parent, at)
				if asks {
					_ = c.Done()
				}
				end()
			}
		})
	}
}
