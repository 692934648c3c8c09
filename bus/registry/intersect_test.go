package registry

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/wire"
)

func TestBuildsShareAnswersOnlyAsBothWant(t *testing.T) {
	t.Parallel()
	one := &wire.Caching{TTLMillis: 30, Tags: []string{"b", "a"}, Public: true, StaleIfErrorMillis: 5}
	other := &wire.Caching{TTLMillis: 20, Tags: []string{"c", "a"}, StaleIfErrorMillis: 7, StaleWhileRevalidateMillis: 1}
	manifest := func(c *wire.Caching) *wire.Manifest {
		return &wire.Manifest{Service: "things", Actions: []wire.Action{{Name: "GET", Safe: true, Cache: c}}}
	}
	both := func(a, b *wire.Caching) *wire.Caching {
		return intersect([]string{"1", "2"}, map[string]*wire.Manifest{"1": manifest(a), "2": manifest(b)}).Actions[0].Cache
	}
	assert.Equal(t, &wire.Caching{TTLMillis: 20, Tags: []string{"a", "b", "c"}, StaleIfErrorMillis: 5}, both(one, other))
	assert.Equal(t, []string{"b", "a"}, one.Tags, "it is others' too")
	assert.Nil(t, both(one, nil))
	assert.Nil(t, both(nil, one))
}

func TestBuildsWantTheScopesOfBoth(t *testing.T) {
	t.Parallel()
	manifest := func(scopes ...string) *wire.Manifest {
		return &wire.Manifest{Service: "things", Actions: []wire.Action{{Name: "GET", Scopes: scopes}}}
	}
	both := func(a, b *wire.Manifest) []string {
		return intersect([]string{"1", "2"}, map[string]*wire.Manifest{"1": a, "2": b}).Actions[0].Scopes
	}
	one := manifest("b", "a")
	assert.Equal(t, []string{"a", "b", "c"}, both(one, manifest("c", "a")))
	assert.Equal(t, []string{"a", "b"}, both(manifest(), one))
	assert.Equal(t, []string{"b", "a"}, one.Actions[0].Scopes, "it is others' too")
	assert.Nil(t, both(manifest(), manifest()))
}

func TestVariantsAreBuildsWithOtherArguments(t *testing.T) {
	t.Parallel()
	manifest := func(schema string) *wire.Manifest {
		return &wire.Manifest{Service: "things", Actions: []wire.Action{
			{Name: "GET", Args: []wire.Argument{{Name: "id", In: wire.InPath, Schema: json.RawMessage(schema)}}}, {Name: "SAME"},
		}}
	}
	manifests := map[string]*wire.Manifest{"1": manifest(`1`), "2": manifest(`2`), "3": manifest(`1`)}
	digests := []string{"1", "2", "3"}
	found := variants(digests, manifests, intersect(digests, manifests))
	assert.Equal(t, map[string][]*wire.Action{"GET": {&manifests["2"].Actions[0]}}, found)
}
