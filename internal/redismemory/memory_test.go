package redismemory

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOf(t *testing.T) {
	t.Parallel()
	m := Of("# Memory\r\nused_memory:600\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n")
	assert.Equal(t, Memory{Used: 600, Most: 1000, Policy: "noeviction"}, m)
	assert.True(t, m.Over(0.5))
	assert.False(t, m.Over(0.6))
	assert.False(t, Of("used_memory:600\r\nmaxmemory:0\r\n").Over(0.5), "there is no limit")
	assert.Equal(t, Memory{}, Of(""))
}
