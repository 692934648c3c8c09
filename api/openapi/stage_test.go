package openapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// table returns the table of services with these manifests, and of a versions file.
func table(t testing.TB, versions string, manifests ...*wire.Manifest) *route.Table {
	t.Helper()
	services := make(registry.Snapshot)
	for _, m := range manifests {
		services[m.Service] = &registry.Service{Name: m.Service, Manifest: m, Workers: []registry.Worker{{ID: m.Service + ".1"}}}
	}
	r, err := route.New("", []byte(versions), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	r.Update(services)
	return r.Table()
}

// parse reads a manifest.
func parse(t testing.TB, text string) *wire.Manifest {
	t.Helper()
	m, err := wire.ParseManifest([]byte(text))
	require.NoError(t, err)
	return m
}

// node is a part of a document.
type node map[string]any

// build returns a document and its bytes. It checks what is true of every document.
func build(t testing.TB, from *route.Table, o openapi.Options) (doc node, text []byte) {
	t.Helper()
	text, found, err := openapi.Build(from, o)
	require.NoError(t, err)
	require.True(t, found)
	again, _, err := openapi.Build(from, o)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(text, again), "the document depends on its input alone")
	keep(t, text)
	require.NoError(t, json.Unmarshal(text, &doc))
	checkReferences(t, doc)
	checkOperations(t, doc)
	return doc, text
}

// keep writes a document to the directory of MAILROOM_TEST_OPENAPI, if there is one, for other
// validators than this test.
func keep(t testing.TB, text []byte) {
	t.Helper()
	const maxKept = 1 << 20 // bytes, since they are slow
	if dir := os.Getenv("MAILROOM_TEST_OPENAPI"); dir != "" && len(text) < maxKept {
		sum := sha256.Sum256(text)
		name := fmt.Sprintf("%s-%x.json", strings.ReplaceAll(t.Name(), "/", "-"), sum[:4])
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
}

// at returns the value at the end of a path of names.
func (n node) at(names ...string) any {
	var value any = map[string]any(n)
	for _, name := range names {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

// json returns the value at the end of a path of names as JSON.
func (n node) json(t testing.TB, names ...string) string {
	t.Helper()
	text, err := json.Marshal(n.at(names...))
	require.NoError(t, err)
	return string(text)
}

// object returns the object at the end of a path of names.
func (n node) object(names ...string) node {
	object, _ := n.at(names...).(map[string]any)
	return object
}

// operations calls a function with every operation.
func (n node) operations(each func(path, method string, op node)) {
	for path := range n.object("paths") {
		for method := range n.object("paths", path) {
			each(path, method, n.object("paths", path, method))
		}
	}
}

// checkReferences checks that every reference leads to a component, and every component has
// one.
func checkReferences(t testing.TB, doc node) {
	t.Helper()
	seen := make(map[string]bool)
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				look(item)
			}
		case map[string]any:
			for name, item := range v {
				look(item)
				ref, is := item.(string)
				if name != "$ref" || !is {
					continue
				}
				steps := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
				assert.NotNil(t, doc.at(steps...), ref)
				seen[ref] = true
			}
		}
	}
	look(map[string]any(doc))
	for kind := range doc.object("components") {
		for name := range doc.object("components", kind) {
			assert.Regexp(t, `^[A-Za-z0-9._-]+$`, name)
			if kind != "securitySchemes" {
				assert.True(t, seen["#/components/"+kind+"/"+name], "%s %s is not used", kind, name)
			}
		}
	}
}

// checkOperations checks that operations have different IDs, and the parameters of their
// paths.
func checkOperations(t testing.TB, doc node) {
	t.Helper()
	ids, shapes := make(map[any]bool), make(map[string]bool)
	inBraces := regexp.MustCompile(`\{([^{}/]*)\}`)
	for path := range doc.object("paths") {
		shape := inBraces.ReplaceAllString(path, "{}")
		assert.False(t, shapes[shape], "two paths have the shape %s", shape)
		shapes[shape] = true
	}
	doc.operations(func(path, method string, op node) {
		id, _ := op["operationId"].(string)
		assert.Regexp(t, `^[A-Z0-9_]+$`, id)
		assert.False(t, ids[id], "operationId %s is there twice", id)
		ids[id] = true
		assert.NotEmpty(t, op["summary"])
		var want, got []string
		for _, match := range inBraces.FindAllStringSubmatch(path, -1) {
			want = append(want, match[1])
		}
		list, _ := op["parameters"].([]any)
		for _, p := range list {
			own, _ := p.(map[string]any)
			if ref, is := own["$ref"].(string); is {
				own = doc.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			}
			if own["in"] == "path" {
				got = append(got, fmt.Sprint(own["name"]))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		assert.Equal(t, want, got, "%s %s", method, path)
	})
}
