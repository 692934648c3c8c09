package tickets

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPreferences(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]Preference{
		"":                             {},
		"return=minimal":               {},
		"wait=":                        {},
		"wait=-1":                      {},
		"wait=soon, wait=3":            {applied: "wait=3", Wait: 3 * time.Second},
		"respond-async":                {applied: "respond-async"},
		"Respond-Async":                {applied: "respond-async"},
		"wait=0":                       {applied: "wait=0"},
		"wait=10":                      {applied: "wait=10", Wait: 10 * time.Second},
		`wait="10"`:                    {applied: "wait=10", Wait: 10 * time.Second},
		"wait=10, wait=20":             {applied: "wait=10", Wait: 10 * time.Second},
		"respond-async, wait=5":        {applied: "respond-async, wait=5", Wait: 5 * time.Second},
		"wait=5;x=y, respond-async":    {applied: "respond-async, wait=5", Wait: 5 * time.Second},
		"wait=100000":                  {applied: "wait=60", Wait: time.Minute},
		"wait=99999999999999999999999": {},
	} {
		assert.Equal(t, want, parsePrefer(header), header)
	}
}
