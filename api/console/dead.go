package console

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

func (c *Console) deadServices(r *http.Request, _ *session) (*view, error) {
	rows, _, _, _ := c.rows(r) // the statistics of other gateways do not matter here
	rows = slices.DeleteFunc(rows, func(row serviceRow) bool { return row.Mailbox.Dead == 0 })
	return &view{Template: "deadservices", Title: "Dead letters", Data: rows}, nil
}

// deadData is what the list of the dead letters of a service shows.
type deadData struct {
	Service, Action, Reason string // filters
	Letters                 []admin.DeadLetter
	Matching                int    // dead letters that the filter accepts, of the last maxDeadScan
	Scanned                 bool   // there are more than were looked at
	Newest                  string // entry of the latest; later ones are not part of an action
	Do                      string // the action to confirm; empty: none
	Chosen                  []string
	Write                   bool
}

// Limits of a page and of an action on dead letters.
const (
	maxDeadShown = 100
	maxDeadScan  = 5000
	deadPage     = 20 // in one read: each may be as large as a request
)

// validService refuses names that no service has.
func validService(name string) error {
	if err := wire.CheckServiceName(name); err != nil && name != wire.ReservedService {
		return notFound("There is no service with this name.")
	}
	return nil
}

// letters returns the dead letters that a filter accepts, the latest first, without their
// arguments, and whether there are more than it looked at. One scan runs at a time.
func (c *Console) letters(r *http.Request, d *deadData) (found []admin.DeadLetter, more bool, err error) {
	c.scanning.Lock()
	defer c.scanning.Unlock()
	before, seen := "", 0
	for seen < maxDeadScan {
		page, err := admin.LatestDeadLetters(r.Context(), c.cfg.Conn, d.Service, before, deadPage)
		if err != nil {
			return nil, false, err
		}
		for _, l := range page {
			before = l.Entry
			if d.accepts(&l) {
				l.Fields = map[string]string{"id": l.Fields["id"], "action": l.Fields["action"]}
				found = append(found, l)
			}
		}
		if seen += len(page); len(page) < deadPage {
			return found, false, nil
		}
	}
	return found, true, nil
}

// accepts reports whether a dead letter matches the filters.
func (d *deadData) accepts(l *admin.DeadLetter) bool {
	return (d.Action == "" || l.Fields["action"] == d.Action) && strings.Contains(strings.ToLower(l.Error), strings.ToLower(d.Reason)) &&
		(d.Newest == "" || wire.CompareEntries(l.Entry, d.Newest) <= 0)
}

func (c *Console) dead(r *http.Request, s *session) (*view, error) {
	service, q := r.PathValue("service"), r.URL.Query()
	if err := validService(service); err != nil {
		return nil, err
	}
	return c.deadList(r, s, &deadData{Service: service, Action: q.Get("action"), Reason: q.Get("reason")})
}

func (c *Console) deadList(r *http.Request, s *session, data *deadData) (*view, error) {
	found, more, err := c.letters(r, data)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		data.Newest = found[0].Entry
	}
	data.Matching, data.Scanned, data.Write = len(found), more, s.Write
	data.Letters = found[:min(len(found), maxDeadShown)]
	return &view{Template: "dead", Title: "Dead letters of " + data.Service, Data: data}, nil
}

// letterData is what the page of one dead letter shows.
type letterData struct {
	Service string
	Letter  admin.DeadLetter
	Args    string
	Meta    string
	Write   bool
}

func (c *Console) letter(r *http.Request, s *session) (*view, error) {
	service := r.PathValue("service")
	if err := validService(service); err != nil {
		return nil, err
	}
	l, err := admin.DeadLetterAt(r.Context(), c.cfg.Conn, service, r.PathValue("entry"))
	if errors.Is(err, admin.ErrNoDeadLetter) {
		return nil, notFound("There is no such dead letter any more.")
	}
	if err != nil {
		return nil, err
	}
	data := &letterData{Service: service, Letter: l, Meta: l.Fields["meta"], Write: s.Write}
	data.Args = maskText(c.cfg.Masks, service, l.Fields["action"], l.Fields["args"])
	return &view{Template: "letter", Title: "Dead letter", Data: data}, nil
}

// handleDead replays or drops the chosen letters, or all that the filter accepts. The first
// post shows what would happen; the second, with confirm, does it.
func (c *Console) handleDead(r *http.Request, s *session) (*view, error) {
	service, do := r.PathValue("service"), r.PostFormValue("do")
	if err := validService(service); err != nil {
		return nil, err
	}
	if do != "replay" && do != "drop" {
		return nil, &problem{http.StatusBadRequest, "Choose replay or drop."}
	}
	data := &deadData{
		Service: service, Action: r.PostFormValue("action"), Reason: r.PostFormValue("reason"), Newest: r.PostFormValue("newest"), Do: do, Chosen: r.PostForm["entry"],
	}
	if r.PostFormValue("confirm") == "" {
		return c.deadList(r, s, data)
	}
	found, err := c.chosen(r, data)
	if err != nil {
		return nil, err
	}
	results := make(map[string]int)
	for _, l := range found {
		became, failed := c.handleLetter(r, do, service, l)
		if failed != nil && !errors.Is(failed, admin.ErrNoDeadLetter) {
			err = failed
			break
		}
		if failed != nil {
			became = "gone"
		}
		results[became]++
	}
	told := summary(results)
	target := told
	if len(found) == 1 {
		target = found[0].RequestID()
	}
	c.record(r, s, admin.AuditLine{What: do, Service: service, Target: target})
	if err != nil {
		return nil, fmt.Errorf("%s dead letters, after %s: %w", do, told, err)
	}
	return &view{To: Path + "dead/" + service + "?notice=" + url.QueryEscape(fmt.Sprintf("%d dead letters: %s", len(found), told))}, nil
}

// chosen returns the dead letters of an action: the selected ones, or all that match.
func (c *Console) chosen(r *http.Request, data *deadData) ([]admin.DeadLetter, error) {
	if len(data.Chosen) == 0 {
		found, _, err := c.letters(r, data)
		return found, err
	}
	var found []admin.DeadLetter
	for _, entry := range data.Chosen[:min(len(data.Chosen), maxDeadScan)] {
		l, err := admin.DeadLetterAt(r.Context(), c.cfg.Conn, data.Service, entry)
		switch {
		case errors.Is(err, admin.ErrNoDeadLetter):
		case err != nil:
			return nil, err
		default:
			found = append(found, l)
		}
	}
	return found, nil
}

// summary lists results and their numbers: "replayed 3, gone 1".
func summary(results map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(results)) {
		parts = append(parts, name+" "+itoa(results[name]))
	}
	return strings.Join(parts, ", ")
}

func (c *Console) handleLetter(r *http.Request, do, service string, l admin.DeadLetter) (string, error) {
	if do == "drop" {
		return admin.DropDeadLetter(r.Context(), c.cfg.Conn, service, l)
	}
	return admin.ReplayDeadLetter(r.Context(), c.cfg.Conn, service, l)
}
