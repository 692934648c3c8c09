package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/recent"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/history"
	"github.com/oskadev/mailroom/bus/wire"
)

// requestData is what the page of a request shows.
type requestData struct {
	ID      string
	Answers []recent.Request // as this gateway answered it
	Runs    []run            // deliveries to workers, from the earliest
	Records []stored         // states that Redis keeps
	Width   int              // of the waterfall, in pixels
	Shown   bool             // arguments and outcomes
	Began   time.Time
	Took    time.Duration
	Write   bool
}

// stored is the state of a request that keeps its outcome.
type stored struct {
	Service, ID, State, Action, Outcome string
}

// Running reports whether the request can be cancelled.
func (s *stored) Running() bool {
	return s.State == wire.StateQueued || s.State == wire.StateRunning
}

// run is one delivery in the waterfall.
type run struct {
	history.Entry

	Indent          int
	X, Queue1, Run1 int // pixels: where it begins, in the mailbox, in the handler
	Args1, Outcome1 string
}

// Resendable reports whether the arguments are known as a whole.
func (r *run) Resendable() bool {
	return r.Service != wire.ReservedService && json.Valid([]byte(r.Args))
}

// waterfall is its width in pixels.
const waterfall = 480

func (c *Console) request(r *http.Request, s *session) (*view, error) {
	id := strings.TrimSpace(r.URL.Query().Get("id"))
	if id == "" && r.URL.Query().Get("key") == "" {
		return &view{To: Path + "recent"}, nil
	}
	id = strings.TrimPrefix(id, "/requests/")
	if service, rest, found := strings.Cut(id, "."); found && wire.CheckServiceName(service) == nil {
		id = rest // a ticket
	}
	names := append(slices.Sorted(maps.Keys(c.cfg.Gateway.Services())), wire.ReservedService)
	entries, err := history.Find(r.Context(), c.cfg.Conn, names, id)
	if err != nil {
		return nil, err
	}
	if q := r.URL.Query(); q.Get("key") != "" {
		id = c.keyed(r, q.Get("caller"), q.Get("tenant"), q.Get("key"))
		return &view{To: Path + "requests?id=" + url.QueryEscape(id)}, nil
	}
	data := &requestData{ID: id, Width: waterfall, Shown: r.URL.Query().Get("show") != "", Write: s.Write}
	data.Answers = c.cfg.Recent.Last(50, func(one *recent.Request) bool { return one.RequestID == id || one.ID == id })
	if data.Records, err = c.records(r, names, id); err != nil {
		return nil, err
	}
	c.draw(data, entries)
	v := &view{Template: "request", Title: "Request", Data: data}
	if len(data.Answers) == 0 && len(data.Runs) == 0 && len(data.Records) == 0 {
		v.Status = http.StatusNotFound
	}
	return v, nil
}

// keyed returns the ID of the request that a caller made under an Idempotency-Key; the key
// itself: there is none. It looks at every unsafe action.
func (c *Console) keyed(r *http.Request, subject, tenant, key string) string {
	principal := ""
	if subject != "" {
		principal = (&wire.Principal{Subject: subject, Tenant: tenant}).Key()
	}
	services, secret := c.cfg.Gateway.Services(), c.cfg.Gateway.Secret()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		manifest := services[name].Manifest
		if manifest == nil || secret == nil {
			continue
		}
		for i := range manifest.Actions {
			if a := &manifest.Actions[i]; !a.Safe {
				id := wire.IdempotentID(secret, principal, name, a.Name, key).String()
				if _, err := caller.FindRecord(r.Context(), c.cfg.Conn, name, id); err == nil {
					return id
				}
			}
		}
	}
	return key
}

// records returns the states of a request in the services that know it.
func (c *Console) records(r *http.Request, services []string, id string) ([]stored, error) {
	if _, err := uuid.Parse(id); err != nil {
		return nil, nil //nolint:nilerr // no service knows such an ID
	}
	var found []stored
	for _, service := range services {
		record, err := caller.FindRecord(r.Context(), c.cfg.Conn, service, id)
		switch {
		case errors.Is(err, caller.ErrNoRecord):
		case err != nil:
			return nil, err
		default:
			found = append(found, stored{
				Service: service, ID: id, State: record.State, Action: record.Action,
				Outcome: maskText(c.cfg.Masks, service, record.Action, record.Outcome),
			})
		}
	}
	return found, nil
}

// draw adds the deliveries to the waterfall.
func (c *Console) draw(data *requestData, entries []history.Entry) {
	if len(entries) == 0 {
		return
	}
	first := slices.MinFunc(entries, func(a, b history.Entry) int { return a.Accepted().Compare(b.Accepted()) })
	data.Began = first.Accepted()
	last := slices.MaxFunc(entries, func(a, b history.Entry) int { return a.Ended.Compare(b.Ended) }).Ended
	data.Took = max(last.Sub(data.Began), time.Millisecond)
	scale := func(d time.Duration) int { return int(float64(d) / float64(data.Took) * waterfall) }
	for i := range entries {
		e := entries[i]
		data.Runs = append(data.Runs, run{
			Entry: e, Indent: min(e.Depth, 8), X: scale(e.Accepted().Sub(data.Began)), Queue1: scale(e.Queue), Run1: max(scale(e.Run), 2),
			Args1: maskText(c.cfg.Masks, e.Service, e.Action, e.Args), Outcome1: maskText(c.cfg.Masks, e.Service, e.Action, e.Outcome),
		})
	}
}

func (c *Console) cancel(r *http.Request, s *session) (*view, error) {
	service, id := r.PostFormValue("service"), r.PostFormValue("id")
	if _, err := uuid.Parse(id); err != nil || wire.CheckServiceName(service) != nil && service != wire.ReservedService {
		return nil, notFound("There is no such request.")
	}
	err := c.cfg.Calls.Cancel(r.Context(), service, id)
	if errors.Is(err, caller.ErrNoRecord) {
		return nil, notFound("There is no such request any more.")
	}
	if err != nil {
		return nil, err
	}
	c.record(r, s, admin.AuditLine{What: "cancel", Service: service, Target: id})
	return &view{To: Path + "requests?id=" + url.QueryEscape(id) + "&notice=" + url.QueryEscape("The request is told to stop.")}, nil
}

// resend calls the action of a request in the history again, with its arguments.
func (c *Console) resend(r *http.Request, s *session) (*view, error) {
	service, entry := r.PostFormValue("service"), r.PostFormValue("entry")
	if c.cfg.Gateway.Services()[service] == nil {
		return nil, notFound("There is no such request any more.")
	}
	entries, err := history.Read(r.Context(), c.cfg.Conn, service, history.MaxFind)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(entries, func(e history.Entry) bool { return e.Entry == entry })
	if i < 0 || !json.Valid([]byte(entries[i].Args)) {
		return nil, notFound("There is no such request any more, or its arguments were cut.")
	}
	return c.run(r, s, "resend", service, entries[i].Action, entries[i].Args)
}

// recentData is what the tail shows.
type recentData struct {
	Requests                                   []recent.Request
	Service, Action, Principal, Status, Slower string
	Names                                      []string
}

// maxRecent is how many requests the tail shows.
const maxRecent = 200

func (c *Console) recent(r *http.Request, _ *session) (*view, error) {
	q := r.URL.Query()
	data := &recentData{
		Service: q.Get("service"), Action: q.Get("action"), Principal: q.Get("principal"), Status: q.Get("status"), Slower: q.Get("slower"),
		Names: slices.Sorted(maps.Keys(c.cfg.Gateway.Services())),
	}
	var slower time.Duration
	if data.Slower != "" {
		var err error
		if slower, err = time.ParseDuration(data.Slower); err != nil {
			return nil, &problem{http.StatusBadRequest, "“Slower than” wants a time such as 200ms or 1.5s."}
		}
	}
	contains := func(text, part string) bool {
		return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
	}
	data.Requests = c.cfg.Recent.Last(maxRecent, func(one *recent.Request) bool {
		status := statusText(one.Outcome.Status, string(one.Outcome.Refused))
		return (data.Service == "" || one.Service == data.Service) && contains(one.Action, data.Action) && contains(one.Principal, data.Principal) &&
			contains(status, data.Status) && one.Outcome.Total >= slower
	})
	return &view{Template: "recent", Title: "Recent requests", Data: data}, nil
}

// statusText returns what the filter of the status looks at: "404 NOT_FOUND".
func statusText(status int, code string) string {
	return strings.TrimSpace(http.StatusText(status) + " " + code + " " + cmp.Or(itoa(status), "0"))
}
