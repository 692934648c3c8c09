package route

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func tableOf(routes ...string) *Table {
	m := &wire.Manifest{Service: "things", Protocol: 1}
	for _, route := range routes {
		a := wire.Action{Name: route, Routes: []string{route}}
		for range strings.Count(route, ":") {
			a.Args = append(a.Args, wire.Argument{Name: "p"})
		}
		m.Actions = append(m.Actions, a)
	}
	return buildTable(registry.Snapshot{"things": {Name: "things", Manifest: m}}, nil, nil, slog.New(slog.DiscardHandler))
}

func TestCheckSaysWhyARouteIsNotServed(t *testing.T) {
	t.Parallel()
	path := func(name string) wire.Argument { return wire.Argument{Name: name, In: wire.InPath} }
	query := func(schema string) wire.Argument {
		return wire.Argument{Name: "query", In: wire.InQuery, Schema: json.RawMessage(schema)}
	}
	for _, c := range []struct {
		route string
		args  []wire.Argument
		want  string // empty: it is served
	}{
		{"GET /things/:a/:b", []wire.Argument{path("a"), path("b")}, ""},
		{"GET /things/:any", []wire.Argument{{Name: "a"}}, ""},
		{"GET /things/:b/:a", []wire.Argument{path("a"), path("b")}, "parameter :b stands in the place of the argument a"},
		{"GET /things/:id", []wire.Argument{path("number")}, "parameter :id stands in the place of the argument number"},
		{"GET /things/{a}", []wire.Argument{path("a")}, `segment "{a}": a parameter is written :name, without braces`},
		{"GET /things", []wire.Argument{path("a"), path("b")}, "the path has 0 parameters, the action takes 2 arguments"},
		{"GET /things", []wire.Argument{query(`{"type":"object"}`)}, ""},
		{"GET /things", []wire.Argument{query(`{"type":["null","object"]}`)}, ""},
		{"GET /things", []wire.Argument{query(`{}`)}, ""},
		{"GET /things", []wire.Argument{query(`{"type":"string"}`)}, "argument query comes from the query, so its schema has to be an object"},
		{"POST /things", []wire.Argument{{Name: "body", In: wire.InBody, Schema: json.RawMessage(`{"type":"string"}`)}}, ""},
		{"FETCH /things", nil, `method "FETCH" is not one of GET, POST, PUT, PATCH, DELETE`},
		{"GET /others", nil, `path "/others" does not begin with /things`},
	} {
		err := Check("things", &wire.Action{Name: "DO", Args: c.args, Routes: []string{c.route}}, c.route)
		if c.want == "" {
			require.NoError(t, err, c.route)
			continue
		}
		require.EqualError(t, err, c.want, c.route)
	}
}

func TestTableFindsTheNearestRoute(t *testing.T) {
	t.Parallel()
	table := tableOf("GET /things", "GET /things/:id", "GET /things/count", "POST /things/count", "GET /things/:id/parts/:part",
		"GET /things/:id/parts/all", "GET /things/count/parts/first", "PUT /things/:other")
	for path, want := range map[string]string{
		"GET /things":                   "GET /things",
		"GET /things/1":                 "GET /things/:id 1",
		"PUT /things/1":                 "PUT /things/:other 1",
		"GET /things/count":             "GET /things/count",
		"POST /things/count":            "POST /things/count",
		"PUT /things/count":             "405 GET POST", // the literal path, though another has PUT
		"GET /things/1/parts/2":         "GET /things/:id/parts/:part 1 2",
		"GET /things/1/parts/all":       "GET /things/:id/parts/all 1",
		"GET /things/count/parts/all":   "GET /things/:id/parts/all count",
		"GET /things/count/parts/9":     "GET /things/:id/parts/:part count 9",
		"GET /things/count/parts/first": "GET /things/count/parts/first",
		"POST /things/1":                "405 GET PUT",
		"GET /things/1/parts":           "404",
		"GET /other":                    "404",
		"GET /":                         "404",
	} {
		method, path, _ := strings.Cut(path, " ")
		segments, ok := exchange.SplitPath(path)
		require.True(t, ok)
		r, params, allowed := table.root.find(method, segments)
		got := "404"
		switch {
		case r != nil:
			got = strings.Join(append([]string{r.Action.Name}, params...), " ")
		case len(allowed) > 0:
			got = strings.Join(append([]string{"405"}, allowed...), " ")
		}
		assert.Equal(t, want, got, method+" "+path)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"", "/", "//", "/a/", "/a%2Fb", "/%", "/%zz", "/%00", "/%ff", "/\xff", "/a/../b", "a", "/%E2%82%AC"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, ok := exchange.SplitPath(path)
		if !ok {
			return
		}
		if len(segments) == 0 {
			t.Fatalf("%q has no segment", path)
		}
		if !strings.ContainsAny(path, "%") && strings.Count(path, "/") < len(segments)-1 {
			t.Fatalf("%q became %q", path, segments)
		}
		again, ok := exchange.SplitPath(path + "/")
		if ok && !strings.HasSuffix(path, "/") && !slices.Equal(segments, again) {
			t.Fatalf("%q became %q, and %q with a slash behind it", path, segments, again)
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/things", "/things/", "/things/1", "/things/count", "/things/1/parts/2", "/things//parts/", "/"} {
		f.Add("GET", seed)
	}
	f.Add("", strings.Repeat("/things", 30))
	table := tableOf("GET /things", "GET /things/:id", "GET /things/count", "DELETE /things/:id/parts/:part", "GET /things/a/:b/c/:d")
	f.Fuzz(func(t *testing.T, method, path string) {
		segments, ok := exchange.SplitPath(path)
		if !ok {
			return
		}
		r, params, allowed := table.root.find(method, segments)
		if r == nil {
			if slices.Contains(allowed, method) {
				t.Fatalf("%s %q: allowed %q, but not found", method, path, allowed)
			}
			return
		}
		if want := strings.Count(r.Action.Name, ":"); len(params) != want || slices.Contains(params, "") {
			t.Fatalf("%s %q: %s got %q", method, path, r.Action.Name, params)
		}
	})
}
