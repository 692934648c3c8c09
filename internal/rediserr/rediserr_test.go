package rediserr_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// said is an error as Redis answers it.
type said string

func (s said) Error() string { return string(s) }

func (said) RedisError() {}

func TestIsPermanent(t *testing.T) {
	t.Parallel()
	for text, permanent := range map[string]bool{
		"WRONGTYPE Operation against a key holding the wrong kind of value": true,
		"ERR value is not an integer or out of range":                       true,
		"ERR max number of clients reached":                                 false,
		"OOM command not allowed when used memory > 'maxmemory'.":           false,
		"LOADING Redis is loading the dataset in memory":                    false,
		"READONLY You can't write against a read only replica.":             false,
		"MASTERDOWN Link with MASTER is down":                               false,
	} {
		assert.Equal(t, permanent, rediserr.IsPermanent(said(text)), text)
		assert.Equal(t, permanent, rediserr.IsPermanent(fmt.Errorf("settle: %w", said(text))), text)
	}
	assert.False(t, rediserr.IsPermanent(errors.New("EOF")))
	assert.False(t, rediserr.IsPermanent(nil))
}

func TestIsMoving(t *testing.T) {
	t.Parallel()
	for text, moving := range map[string]bool{
		"READONLY You can't write against a read only replica.":   true,
		"CLUSTERDOWN Hash slot not served":                        true,
		"TRYAGAIN Multiple keys request during rehashing":         true,
		"MOVED 11850 127.0.0.1:7000":                              true,
		"OOM command not allowed when used memory > 'maxmemory'.": false,
		"LOADING Redis is loading the dataset in memory":          false,
		"NOPERM no right": false,
	} {
		assert.Equal(t, moving, rediserr.IsMoving(said(text)), text)
	}
	assert.False(t, rediserr.IsMoving(nil))
}
