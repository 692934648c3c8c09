package batch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBatcherKeepsOrderAndLosesNothing(t *testing.T) {
	t.Parallel()
	const producers, each = 8, 500
	var got []string
	largest := 0
	b := New[string](16)
	flush := func(items []string) {
		got = append(got, items...)
		largest = max(largest, len(items))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running, producing sync.WaitGroup
	running.Go(func() { b.Run(ctx, flush) })
	for p := range producers {
		producing.Go(func() {
			for i := range each {
				b.Add(fmt.Sprintf("%d %03d", p, i))
			}
		})
	}
	producing.Wait()
	cancel()
	running.Wait()
	require.Len(t, got, producers*each)
	assert.LessOrEqual(t, largest, 16)
	for p := range producers {
		own := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s[0] != byte('0'+p) })
		assert.True(t, slices.IsSorted(own), "what one caller adds stays in order")
	}
}
