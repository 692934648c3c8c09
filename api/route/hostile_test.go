package route

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func takes(schema string) *wire.Action {
	return &wire.Action{Name: "POST", Routes: []string{"POST /things"}, Args: []wire.Argument{{Name: "body", In: wire.InBody, Schema: json.RawMessage(schema)}}}
}

func TestArgumentsOfADeepSchemaAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{100, 2000, 4900} {
		began := time.Now()
		_, err := newArguments(takes(strings.Repeat(`{"items":`, depth)+"{}"+strings.Repeat("}", depth)), 0)
		require.ErrorContains(t, err, "nested deeper than 64 levels")
		assert.Less(t, time.Since(began), 100*time.Millisecond)
	}
}

// The schema library keeps a copy of the value for each alternative that does not fit.
func TestManyAlternativesAndALargeBody(t *testing.T) {
	t.Parallel()
	args, err := newArguments(takes(`{"anyOf":[`+strings.TrimSuffix(strings.Repeat(`{"type":"integer"},`, 900), ",")+`]}`), 0)
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	problems := args.object.checkBody(strings.Repeat("x", 1<<20))
	runtime.ReadMemStats(&after)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Problem, "900 alternatives")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<20))
	assert.NotContains(t, args.object.checkBody("x")[0].Problem, "too large")
}

// A recursive schema may double the work at each level of a body.
func TestRecursiveSchemasThatDouble(t *testing.T) {
	t.Parallel()
	args, err := newArguments(takes(`{"allOf":[{"properties":{"x":{"$ref":"#"}}},{"properties":{"x":{"$ref":"#"}}}]}`), 0)
	require.NoError(t, err)
	var body any = map[string]any{}
	for range 200 {
		body = map[string]any{"x": body}
	}
	problems := args.object.checkBody(body)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Problem, "too deep or too large")
	assert.Empty(t, args.object.checkBody(map[string]any{"x": map[string]any{"x": map[string]any{}}}))
}

// A service that changes all the time must not make a gateway compile the schemas of others.
func TestSchemasAreCompiledOnce(t *testing.T) {
	t.Parallel()
	services := make(registry.Snapshot)
	for i := range 3 {
		action := *takes(`{"type":"object"}`)
		name := fmt.Sprintf("s%d", i)
		action.Routes = []string{"POST /" + name, "PUT /" + name}
		services[name] = &registry.Service{Name: name, Manifest: &wire.Manifest{Service: name, Actions: []wire.Action{action}}}
	}
	log := slog.New(slog.DiscardHandler)
	one := buildTable(services, nil, nil, log)
	other := buildTable(services, nil, one, log)
	require.Len(t, one.served, 6)
	for i := range one.served {
		assert.Same(t, one.served[i].arguments, other.served[i].arguments)
		assert.Same(t, one.served[i/2*2].arguments, one.served[i].arguments, "both routes of an action have the same")
	}
	assert.Nil(t, other.known)
}
