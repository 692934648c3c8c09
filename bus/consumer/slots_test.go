package consumer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAwaitReturnsWhenASlotIsFree(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	n, err := s.await(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	s.take(2)
	free := make(chan int)
	go func() {
		n, _ := s.await(t.Context())
		free <- n
	}()
	s.give(1)
	assert.Equal(t, 1, <-free)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.take(1)
	_, err = s.await(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
