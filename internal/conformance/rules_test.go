package conformance

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/conformance/suites"
)

// TestRulesAreThoseOfTheChecks proves that the checks name only rules that exist, and all of
// them.
func TestRulesAreThoseOfTheChecks(t *testing.T) {
	t.Parallel()
	named := make(map[string]bool)
	for _, transport := range []suites.Transport{suites.Native, suites.Frames, suites.Socket} {
		checks, err := suites.Load(transport, 3, time.Second)
		require.NoError(t, err)
		for _, c := range checks {
			for _, step := range c.Steps {
				if step.Rule != nil {
					named[step.Rule.Name] = true
				}
			}
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(rules())), slices.Collect(maps.Keys(named)))
}
