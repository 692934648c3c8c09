package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBehindAnEntry(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"1732000000000-0":                    "1732000000000-1",
		"1732000000000-9":                    "1732000000000-10",
		"1732000000000-18446744073709551615": "1732000000001-0",
		"-":                                  "-",
	} {
		assert.Equal(t, want, NextEntryID(entry))
	}
}
