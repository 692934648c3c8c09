package api

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/api/exchange"
)

func TestWithoutTracesNothingIsAllocated(t *testing.T) { //nolint:paralleltest // it counts allocations
	off := &spans{}
	in := exchange.NewMessage(nil, "")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		off.begin(&in)
		off.ended(&in)
	}))
}
