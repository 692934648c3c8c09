package console

import (
	"errors"
	"net/http"
	"time"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// versionRow is one version of the API.
type versionRow struct {
	Version *versions.Version
	Plans   []planRow
}

// planRow is one composition, with what it did in the last minute.
type planRow struct {
	Plan   *versions.Plan
	Stats  *stats.Action // nil: it had no requests
	Stages [][]stepRow   // the steps of a stage run at once
}

// stepRow is one step.
type stepRow struct {
	Step  *versions.Step
	Stats *stats.Action // nil: it was not called
}

func (c *Console) versions(r *http.Request, _ *session) (*view, error) {
	all, _ := c.cfg.Stats.All(r.Context()) // without other gateways the page still helps
	var recent map[string]*stats.Action
	if s := stats.Merge(all).Services[wire.ReservedService]; s != nil {
		recent = s.Actions
	}
	var rows []versionRow
	if file := c.cfg.Gateway.Versions(); file != nil {
		for _, v := range file.Versions {
			row := versionRow{Version: v}
			for _, p := range v.Plans {
				row.Plans = append(row.Plans, newPlanRow(p, recent[p.Name()]))
			}
			rows = append(rows, row)
		}
	}
	return &view{Template: "versions", Title: "Versions", Data: rows}, nil
}

func newPlanRow(p *versions.Plan, recent *stats.Action) planRow {
	row := planRow{Plan: p, Stats: recent}
	for _, stage := range p.Stages {
		var steps []stepRow
		for _, s := range stage {
			one := stepRow{Step: s}
			if recent != nil {
				one.Stats = recent.Steps[s.Name]
			}
			steps = append(steps, one)
		}
		row.Stages = append(row.Stages, steps)
	}
	return row
}

// keysData is what the list of keys shows.
type keysData struct {
	Keys  []keys.Key
	Now   time.Time
	Write bool
}

func (c *Console) keyList(r *http.Request, s *session) (*view, error) {
	all, err := c.keys.List(r.Context())
	if err != nil {
		return nil, err
	}
	return &view{Template: "keys", Title: "API keys", Data: &keysData{all, time.Now(), s.Write}}, nil
}

func (c *Console) revoke(r *http.Request, s *session) (*view, error) {
	id, err := keys.IDOf(r.PostFormValue("id"))
	if err == nil {
		err = c.keys.Revoke(r.Context(), id)
	}
	if errors.Is(err, keys.ErrUnknown) || id == "" {
		return nil, notFound("There is no key with this ID any more.")
	}
	if err != nil {
		return nil, err
	}
	c.record(r, s, admin.AuditLine{What: "revoke", Target: id})
	return back(Path+"keys", "The key is revoked."), nil
}

// maxAudit is how many audit lines are shown.
const maxAudit = 500

func (c *Console) audit(r *http.Request, _ *session) (*view, error) {
	lines, err := admin.ReadAudit(r.Context(), c.cfg.Conn, maxAudit)
	if err != nil {
		return nil, err
	}
	return &view{Template: "audit", Title: "Audit", Data: lines}, nil
}

var _ http.Handler = (*Console)(nil)
