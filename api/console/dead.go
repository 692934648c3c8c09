package console

import (
	"encoding/json"
	"errors"
	"fmt"
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
	Matching                int    // letters that the filter accepts, at most maxDeadScan
	Scanned                 bool   // there are more letters than were looked at
	Do                      string // the action to confirm; empty: none
	Chosen                  []string
	Write                   bool
}

// Limits of a page and of an action on dead letters.
const (
	maxDeadShown = 100
	maxDeadScan  = 5000
)

// validService refuses names that no service has.
func validService(name string) error {
	if err := wire.CheckServiceName(name); err != nil && name != wire.ReservedService {
		return notFound("There is no service with this name.")
	}
	return nil
}

// letters returns the dead letters that a filter accepts, and whether there may be more.
func (c *Console) letters(r *http.Request, service, action, reason string) (found []admin.DeadLetter, more bool, err error) {
	after, seen := "", 0
	for seen < maxDeadScan {
		const size = 500
		page, err := admin.DeadLetters(r.Context(), c.cfg.Conn, service, after, size)
		if err != nil {
			return nil, false, err
		}
		for _, l := range page {
			after = l.Entry
			if (action == "" || l.Fields["action"] == action) && strings.Contains(strings.ToLower(l.Error), strings.ToLower(reason)) {
				found = append(found, l)
			}
		}
		if seen += len(page); len(page) < size {
			return found, false, nil
		}
	}
	return found, true, nil
}

func (c *Console) dead(r *http.Request, s *session) (*view, error) {
	service, q := r.PathValue("service"), r.URL.Query()
	if err := validService(service); err != nil {
		return nil, err
	}
	return c.deadList(r, s, &deadData{Service: service, Action: q.Get("action"), Reason: q.Get("reason")})
}

func (c *Console) deadList(r *http.Request, s *session, data *deadData) (*view, error) {
	found, more, err := c.letters(r, data.Service, data.Action, data.Reason)
	if err != nil {
		return nil, err
	}
	slices.Reverse(found)
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
	l, err := admin.FindDeadLetter(r.Context(), c.cfg.Conn, service, r.PathValue("entry"))
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
	data := &deadData{Service: service, Action: r.PostFormValue("action"), Reason: r.PostFormValue("reason"), Do: do, Chosen: r.PostForm["entry"]}
	if r.PostFormValue("confirm") == "" {
		return c.deadList(r, s, data)
	}
	found, _, err := c.letters(r, service, data.Action, data.Reason)
	if err != nil {
		return nil, err
	}
	if len(data.Chosen) > 0 {
		found = slices.DeleteFunc(found, func(l admin.DeadLetter) bool { return !slices.Contains(data.Chosen, l.Entry) })
	}
	results := make(map[string]int)
	for _, l := range found {
		became, err := c.handleLetter(r, do, service, l)
		switch {
		case errors.Is(err, admin.ErrNoDeadLetter):
			became = "gone"
		case err != nil:
			return nil, err
		}
		results[became]++
		c.record(r, s, admin.AuditLine{What: do, Service: service, Target: l.RequestID()})
	}
	text, _ := json.Marshal(results) // numbers can always be encoded
	notice := fmt.Sprintf("%d dead letters: %s", len(found), strings.NewReplacer("{", "", "}", "", `"`, "", ":", " ", ",", ", ").Replace(string(text)))
	return &view{To: Path + "dead/" + service + "?notice=" + url.QueryEscape(notice)}, nil
}

func (c *Console) handleLetter(r *http.Request, do, service string, l admin.DeadLetter) (string, error) {
	if do == "drop" {
		return admin.DropDeadLetter(r.Context(), c.cfg.Conn, service, l)
	}
	return admin.ReplayDeadLetter(r.Context(), c.cfg.Conn, service, l)
}
