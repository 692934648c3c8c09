package types

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

func TestMain(m *testing.M) { testsupport.Main(m) }

// suites returns the manifests of each golden file: of the examples, and of a service whose
// names and schemas are all that a manifest may have.
func suites(t *testing.T) map[string][]*wire.Manifest {
	t.Helper()
	text, err := os.ReadFile("testdata/odd.json")
	require.NoError(t, err)
	odd, err := wire.ParseManifest(text)
	require.NoError(t, err)
	return map[string][]*wire.Manifest{
		"shop": manifests(t, shop.New(nil, "mailroom").Services()...),
		"echo": manifests(t, echo.Service(nil, "mailroom")),
		"odd":  {odd},
	}
}

func manifests(t *testing.T, services ...*workers.Service) []*wire.Manifest {
	t.Helper()
	var all []*wire.Manifest
	for _, s := range services {
		text, err := s.Manifest()
		require.NoError(t, err)
		m, err := wire.ParseManifest(text)
		require.NoError(t, err)
		all = append(all, m)
	}
	return all
}

// write returns the code of a suite.
func write(t *testing.T, language string, manifests []*wire.Manifest) string {
	t.Helper()
	code, err := Write(manifests, Options{Language: language})
	require.NoError(t, err)
	return string(code)
}

func TestClientsAreAsInTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, manifests := range suites(t) {
		for _, language := range []string{"ts", "python", "go"} {
			code := write(t, language, manifests)
			testsupport.Golden(t, "testdata/"+name+"."+language+".golden", code)
			slices.Reverse(manifests)
			assert.Equal(t, code, write(t, language, manifests), "the order of manifests has no effect")
			if language == "go" {
				formatted, err := format.Source([]byte(code))
				require.NoError(t, err)
				assert.Equal(t, string(formatted), code, "it is formatted")
			}
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	routed := &wire.Manifest{Service: "users", Actions: []wire.Action{{Name: "A", Routes: []string{"GET /users"}}}}
	for problem, options := range map[string]Options{
		`"rust" is not a known language`:         {Language: "rust"},
		`"a-b" is not a valid name of a Go pack`: {Language: "go", Package: "a-b"},
		`"type" is not a valid name`:             {Language: "go", Package: "type"},
	} {
		_, err := Write([]*wire.Manifest{routed}, options)
		require.ErrorContains(t, err, problem)
	}
	_, err := Write([]*wire.Manifest{{Service: "users", Actions: []wire.Action{{Name: "A"}}}}, Options{Language: "ts"})
	require.EqualError(t, err, "no service has an action with a route")
}

func TestServicesShareTheNamesOfTypes(t *testing.T) {
	t.Parallel()
	of := func(service string) *wire.Manifest {
		return &wire.Manifest{Service: service, Actions: []wire.Action{{
			Name: "GET", Routes: []string{"GET /" + service}, Result: json.RawMessage(`{"properties":{"a":{"type":"string"}}}`),
		}}}
	}
	code := write(t, "ts", []*wire.Manifest{of("b"), of("a"), of("get-result")})
	for _, line := range []string{"export class A {", "export class GetResult {", "export interface GetResult2 {", "export interface GetResult4 {"} {
		assert.Contains(t, code, line+"\n")
	}
}

// A schema may name itself many times over. That costs neither time nor space without bounds.
func TestSchemasThatGrowAreBounded(t *testing.T) {
	t.Parallel()
	defs := make([]string, 60)
	for i := range defs {
		defs[i] = fmt.Sprintf(`"d%d":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/d%d"},{"type":"array","items":{"$ref":"#/$defs/d%d"}}]}}`, i, i+1, i+1)
	}
	growing := `{"$ref":"#/$defs/d0","$defs":{` + strings.Join(defs, ",") + `}}`
	deep := strings.Repeat(`{"type":"array","items":`, 5000) + "true" + strings.Repeat("}", 5000)
	for _, schema := range []string{growing, deep} {
		m := &wire.Manifest{Service: "users", Actions: []wire.Action{{Name: "A", Routes: []string{"GET /users"}, Result: json.RawMessage(schema)}}}
		assert.Less(t, len(write(t, "ts", []*wire.Manifest{m})), 100_000)
	}
}

// FuzzWrite requires that any names, texts and schemas result in code that parses.
func FuzzWrite(f *testing.F) {
	text, err := os.ReadFile("testdata/odd.json")
	require.NoError(f, err)
	odd, err := wire.ParseManifest(text)
	require.NoError(f, err)
	for _, a := range odd.Actions {
		f.Add(a.Name, a.Summary, "id", []byte(a.Result))
		for _, arg := range a.Args {
			f.Add(a.Name, a.Summary, arg.Name, []byte(arg.Schema))
		}
	}
	f.Fuzz(func(t *testing.T, name, summary, arg string, schema []byte) {
		m := &wire.Manifest{Service: "users", Actions: []wire.Action{{
			Name: name, Summary: summary, Routes: []string{"GET /users"}, Args: []wire.Argument{{Name: arg, Schema: schema}}, Result: schema,
		}}}
		for _, language := range []string{"ts", "python", "go"} {
			code := write(t, language, []*wire.Manifest{m})
			require.True(t, utf8.ValidString(code))
			if language == "go" {
				formatted, err := format.Source([]byte(code))
				require.NoError(t, err)
				require.Equal(t, string(formatted), code)
			}
		}
	})
}
