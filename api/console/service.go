package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Limits of a page, for a service with thousands of actions.
const (
	maxActions = 200
	maxWorkers = 100
	maxLanes   = 20
	maxSchema  = 16 << 10 // bytes that are shown
)

// serviceData is what the page of a service shows.
type serviceData struct {
	serviceRow

	Actions []actionRow
	More    int // actions that are not shown
	Workers []registry.Worker
	Lanes   []admin.Lane
	Chosen  *actionForm // the form of one action; nil: none
}

// actionRow is one action of a service.
type actionRow struct {
	Action *wire.Action
	Name   string
	Stats  *stats.Action // nil: it had no requests in the last minute
}

// Hit and Collapsed are shares of the answers of a cached action.
func (a *actionRow) Hit() float64 {
	hit, _ := a.Stats.Hits()
	return hit
}

// Collapsed is the share of the answers that shared the run of another request.
func (a *actionRow) Collapsed() float64 {
	_, collapsed := a.Stats.Hits()
	return collapsed
}

func (c *Console) service(r *http.Request, s *session) (*view, error) {
	name := r.PathValue("service")
	rows, _, _, _ := c.rows(r) // without other gateways the page still helps
	i := slices.IndexFunc(rows, func(row serviceRow) bool { return row.Name == name })
	if i < 0 {
		return nil, notFound("There is no service with this name.")
	}
	data := &serviceData{serviceRow: rows[i]}
	all, _ := c.cfg.Stats.All(r.Context())
	recent := map[string]*stats.Action{}
	if of := stats.Merge(all).Services[name]; of != nil {
		recent = of.Actions
	}
	data.Actions = actionRows(data.Service, recent)
	data.More = max(0, len(data.Actions)-maxActions)
	data.Actions = data.Actions[:len(data.Actions)-data.More]
	if data.Service != nil {
		data.Workers = data.Service.Workers[:min(len(data.Service.Workers), maxWorkers)]
	}
	if lanes, err := admin.Lanes(r.Context(), c.cfg.Conn, name); err == nil { // else the rights are missing
		data.Lanes = lanes[:min(len(lanes), maxLanes)]
	}
	if action := data.Service.Action(r.URL.Query().Get("action")); action != nil {
		data.Chosen = newActionForm(action)
		data.Chosen.May = s.Write
	}
	return &view{Template: "service", Title: name, Data: data}, nil
}

// actionRows returns the actions with the most requests first.
func actionRows(service *registry.Service, recent map[string]*stats.Action) []actionRow {
	var rows []actionRow
	if service != nil && service.Manifest != nil {
		for i := range service.Manifest.Actions {
			a := &service.Manifest.Actions[i]
			rows = append(rows, actionRow{Action: a, Name: a.Name, Stats: recent[a.Name]})
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(recent)) {
			rows = append(rows, actionRow{Name: name, Stats: recent[name]})
		}
	}
	requests := func(a actionRow) uint64 {
		if a.Stats == nil {
			return 0
		}
		return a.Stats.Requests
	}
	slices.SortStableFunc(rows, func(a, b actionRow) int { return cmp.Compare(requests(b), requests(a)) })
	return rows
}

// actionForm is the form that invokes an action.
type actionForm struct {
	Action *wire.Action
	Fields []field
	Result string // the schema of the result
	May    bool   // the operator may invoke it
}

// field is one argument in a form.
type field struct {
	Name, In, Type, Value, Schema string
	Choices                       []string
	Long                          bool // an object or an array: JSON
}

// newActionForm makes a form of the schemas of an action.
func newActionForm(a *wire.Action) *actionForm {
	f := &actionForm{Action: a, Result: cut(indent(string(a.Result)))}
	for _, arg := range a.Args {
		var schema struct {
			Type       any                        `json:"type"`
			Enum       []any                      `json:"enum"`
			Properties map[string]json.RawMessage `json:"properties"`
			Examples   []json.RawMessage          `json:"examples"`
			Default    json.RawMessage            `json:"default"`
		}
		_ = json.Unmarshal(arg.Schema, &schema) // an unreadable schema leaves a field for JSON
		one := field{Name: arg.Name, In: arg.In, Schema: cut(indent(string(arg.Schema))), Value: string(schema.Default)}
		if len(schema.Examples) > 0 {
			one.Value = string(schema.Examples[0])
		}
		kind, _ := schema.Type.(string)
		one.Type = kind
		one.Long = kind != "string" && kind != "integer" && kind != "number" && kind != "boolean"
		if one.Long && one.Value == "" && len(schema.Properties) > 0 {
			one.Value = sample(schema.Properties)
		}
		for _, choice := range schema.Enum {
			if text, ok := choice.(string); ok {
				one.Choices = append(one.Choices, text)
			}
		}
		if kind == "string" {
			var text string
			if json.Unmarshal([]byte(one.Value), &text) == nil {
				one.Value = text
			}
		}
		if one.Long {
			one.Value = indent(one.Value)
		}
		f.Fields = append(f.Fields, one)
	}
	return f
}

// sample returns an object with a value for each property, to be changed.
func sample(properties map[string]json.RawMessage) string {
	values := make(map[string]any, len(properties))
	for name, text := range properties {
		var schema struct {
			Type     any   `json:"type"`
			Examples []any `json:"examples"`
			Default  any   `json:"default"`
			Enum     []any `json:"enum"`
		}
		_ = json.Unmarshal(text, &schema) // an unreadable schema gets null
		switch {
		case len(schema.Examples) > 0:
			values[name] = schema.Examples[0]
		case schema.Default != nil:
			values[name] = schema.Default
		case len(schema.Enum) > 0:
			values[name] = schema.Enum[0]
		case schema.Type == "string":
			values[name] = ""
		case schema.Type == "integer", schema.Type == "number":
			values[name] = 0
		case schema.Type == "boolean":
			values[name] = false
		default:
			values[name] = nil
		}
	}
	text, _ := json.Marshal(values) // it was JSON before
	return string(text)
}

func cut(text string) string {
	if len(text) > maxSchema {
		return strings.ToValidUTF8(text[:maxSchema], "") + "\n…"
	}
	return text
}

// arguments returns the arguments of a form as a JSON array. An empty last field is left
// out.
func arguments(f *actionForm, form url.Values) (string, error) {
	var args []json.RawMessage
	for i, one := range f.Fields {
		text := strings.TrimSpace(form.Get("arg:" + one.Name))
		switch {
		case text == "" && i == len(f.Fields)-1 && one.Type != "string":
			continue
		case one.Type == "string" || !json.Valid([]byte(text)) && !one.Long:
			quoted, _ := json.Marshal(text) // a string can always be encoded
			args = append(args, quoted)
		case !json.Valid([]byte(text)):
			return "", &problem{http.StatusBadRequest, one.Name + " is not valid JSON."}
		default:
			args = append(args, json.RawMessage(text))
		}
	}
	all, err := json.Marshal(args)
	if len(args) == 0 {
		all = []byte("[]")
	}
	return string(all), err
}

// invoked is the answer to a request from the console.
type invoked struct {
	Service, Action, Args, Envelope, ID string
	OK                                  bool
}

func (c *Console) invoke(r *http.Request, s *session) (*view, error) {
	service := r.PathValue("service")
	action := c.cfg.Gateway.Services()[service].Action(r.PostFormValue("action"))
	if action == nil {
		return nil, notFound("The service has no such action.")
	}
	args, err := arguments(newActionForm(action), r.PostForm)
	if err != nil {
		return nil, err
	}
	return c.run(r, s, "invoke", service, action.Name, args)
}

// run calls an action for the operator and shows the answer.
func (c *Console) run(r *http.Request, s *session, what, service, action, args string) (*view, error) {
	envelope, id := c.cfg.Calls.Invoke(r.Context(), s.Principal, service, action, args)
	c.record(r, s, admin.AuditLine{What: what, Service: service, Target: strings.TrimSpace(action + " " + id)})
	shown := &invoked{
		Service: service, Action: action, ID: id, OK: strings.HasPrefix(envelope, `{"ok":true`),
		Args: maskText(c.cfg.Masks, service, action, args), Envelope: maskText(c.cfg.Masks, service, action, envelope),
	}
	return &view{Template: "invoked", Title: service + " " + action, Data: shown}, nil
}

func (c *Console) pause(r *http.Request, s *session) (*view, error) {
	service := r.PathValue("service")
	if c.cfg.Gateway.Services()[service] == nil {
		return nil, notFound("There is no service with this name.")
	}
	if err := admin.Pause(r.Context(), c.cfg.Conn, service, r.PostFormValue("callers") != registry.PauseWait); err != nil {
		return nil, err
	}
	c.record(r, s, admin.AuditLine{What: "pause", Service: service})
	return back(Path+"services/"+service, "The mailbox is paused."), nil
}

func (c *Console) resume(r *http.Request, s *session) (*view, error) {
	service := r.PathValue("service")
	if err := wire.CheckServiceName(service); err != nil {
		return nil, notFound("There is no service with this name.")
	}
	if _, err := admin.Resume(r.Context(), c.cfg.Conn, service); err != nil {
		return nil, err
	}
	c.record(r, s, admin.AuditLine{What: "resume", Service: service})
	return back(Path+"services/"+service, "The mailbox is resumed."), nil
}

// back returns to a page with a notice.
func back(to, notice string) *view {
	return &view{To: to + "?notice=" + url.QueryEscape(notice)}
}

// record writes an audit line. An action is not undone where that fails.
func (c *Console) record(r *http.Request, s *session, line admin.AuditLine) {
	line.Who = s.who()
	if err := admin.Audit(r.Context(), c.cfg.Conn, line); err != nil {
		c.cfg.Log.WarnContext(r.Context(), "no audit line was written", "who", line.Who, "what", line.What, "service", line.Service, "error", err)
	}
}
