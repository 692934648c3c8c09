package observability

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// panel is a panel of a dashboard; a row holds panels.
type panel struct {
	ID          int
	Type, Title string
	Datasource  datasource
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		Expr, RefID string
		Datasource  datasource
	}
	Panels []panel
}

type datasource struct{ Type, UID string }

type dashboard struct {
	UID         string
	Panels      []panel
	Annotations struct{ List []struct{ Expr string } }
	Templating  struct{ List []struct{ Name string } }
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboard.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	return &d
}

// panels returns the panels of all rows, without the rows.
func (d *dashboard) panels() []panel {
	var all []panel
	for _, p := range d.Panels {
		if p.Type == "row" {
			all = append(all, p.Panels...)
		} else {
			all = append(all, p)
		}
	}
	return all
}

// dashboardQueries returns the queries of all panels and annotations.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	d := readDashboard(t)
	var queries []string
	for _, p := range d.panels() {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			queries = append(queries, a.Expr)
		}
	}
	require.Greater(t, len(queries), 30)
	return queries
}

type rule struct {
	Alert, Expr string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	readYAML(t, "rules.yml", &file)
	var rules []rule
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	require.NotEmpty(t, rules)
	return rules
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	// compose.yaml merges a mapping and replaces one of its keys.
	require.NoError(t, yaml.UnmarshalWithOptions(text, into, yaml.AllowDuplicateMapKey()), name)
}

// Every panel has a title, a unit, queries of the chosen data source, and a place of its
// own; the first screen (24 units) is not collapsed.
func TestPanelsOfTheDashboard(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	chosen := datasource{Type: "prometheus", UID: "${datasource}"}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		require.Equal(t, p.GridPos.Y >= 20, p.Type == "row" && len(p.Panels) > 0, p.Title)
	}
	all := d.panels()
	for i, p := range all {
		assert.False(t, ids[p.ID], "the ID of %s is taken", p.Title)
		ids[p.ID] = true
		assert.NotEmpty(t, p.Title)
		assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		assert.Equal(t, chosen, p.Datasource, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			assert.Equal(t, chosen, target.Datasource, p.Title)
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, other := range all[:i] {
			a, b := p.GridPos, other.GridPos
			// Panels of different collapsed rows may share a place.
			if a.Y < 21 && a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s covers %s", p.Title, other.Title)
			}
		}
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	assert.Equal(t, []string{"datasource", "service", "instance"}, variables)
}

// Every alert has a runbook, and the page has no section of another alert.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	const page = "https://github.com/oskadev/mailroom/blob/main/docs/how-to/alert.md#"
	text, err := os.ReadFile("../../docs/how-to/alert.md")
	require.NoError(t, err)
	var sections, alerts []string
	for _, found := range regexp.MustCompile(`(?m)^## (Mailroom\S+)$`).FindAllSubmatch(text, -1) {
		sections = append(sections, string(found[1]))
	}
	for _, r := range readRules(t) {
		alerts = append(alerts, r.Alert)
		assert.Equal(t, page+strings.ToLower(r.Alert), r.Annotations["runbook_url"])
	}
	assert.Equal(t, alerts, sections)
}

// The services of compose.yaml mount files that exist, and publish ports on loopback.
func TestCompose(t *testing.T) {
	t.Parallel()
	const root = "../.."
	var compose struct {
		Services map[string]struct {
			Profiles, Ports []string
			Volumes         []volume
			Command         any
			Environment     map[string]string
		}
		Volumes map[string]any
	}
	readYAML(t, filepath.Join(root, "compose.yaml"), &compose)
	var published []string
	for name, service := range compose.Services {
		published = append(published, service.Ports...)
		for _, v := range service.Volumes {
			source, _, _ := strings.Cut(string(v), ":")
			if strings.HasPrefix(source, "./") {
				assert.FileExists(t, onlyFile(filepath.Join(root, source)), name)
			} else {
				assert.Contains(t, compose.Volumes, source, name)
			}
		}
	}
	slices.Sort(published)
	assert.Equal(t, []string{"127.0.0.1:3000:3000", "127.0.0.1:8080:8080", "127.0.0.1:9090:9090", "127.0.0.1:9091:9090"}, published)
	for _, name := range []string{"gateway-1", "gateway-2"} {
		assert.Equal(t, "0.0.0.0:9090", compose.Services[name].Environment["MAILROOM_OPS_LISTEN"])
		balancer, err := os.ReadFile(filepath.Join(root, "deploy/compose/haproxy.cfg"))
		require.NoError(t, err)
		assert.Contains(t, string(balancer), "server "+name+" "+name+":8080\n")
	}
	for _, name := range []string{"prometheus", "grafana"} {
		assert.Equal(t, []string{"observability"}, compose.Services[name].Profiles)
	}

	// Grafana finds Prometheus by the name of its service, and the dashboard where it is mounted.
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	readYAML(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	require.Len(t, sources.Datasources, 1)
	assert.Equal(t, "http://prometheus:9090", sources.Datasources[0].URL)
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, "grafana/provisioning/dashboards/mailroom.yml", &providers)
	require.Len(t, providers.Providers, 1)
	assert.Contains(t, compose.Services["grafana"].Volumes,
		volume("./deploy/observability/grafana/dashboard.json:"+providers.Providers[0].Options.Path+"/mailroom.json:ro"))
}

// volume is a volume of a service in the short form. The long form is read as its source.
type volume string

func (v *volume) UnmarshalYAML(text []byte) error {
	var long struct{ Source string }
	if yaml.Unmarshal(text, &long) == nil {
		*v = volume(long.Source)
		return nil
	}
	return yaml.Unmarshal(text, (*string)(v))
}

// onlyFile returns a file in a folder, or the path of a file itself.
func onlyFile(path string) string {
	found, _ := filepath.Glob(filepath.Join(path, "*", "*"))
	if len(found) > 0 {
		return found[0]
	}
	return path
}
