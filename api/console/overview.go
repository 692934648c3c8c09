package console

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// serviceRow is one service in the overview.
type serviceRow struct {
	Name    string
	Service *registry.Service // nil: it is the mailbox of compositions
	Mailbox metrics.Mailbox
	All     *stats.Action // of the last minute
	Points  []stats.Point
}

// Troubles lists what is wrong with the service.
func (s *serviceRow) Troubles() []string {
	found := s.All.Troubles(s.Mailbox.Oldest, s.Mailbox.Dead)
	switch {
	case s.Service != nil && s.Service.Paused != "":
		found = append([]string{"paused"}, found...)
	case s.Service != nil && !s.Service.Live():
		found = append([]string{"no worker"}, found...)
	}
	return found
}

// overviewData is what the overview shows.
type overviewData struct {
	Services []serviceRow
	State    metrics.State
	Gateways int
	Stale    bool // the statistics of other gateways could not be read
}

func (c *Console) overview(r *http.Request, _ *session) (*view, error) {
	rows, state, gateways, err := c.rows(r)
	return &view{Template: "overview", Title: "Services", Data: &overviewData{rows, state, gateways, err != nil}}, nil
}

// rows returns the services in the order of their names. An error concerns only the
// statistics of other gateways.
func (c *Console) rows(r *http.Request) (rows []serviceRow, state metrics.State, gateways int, err error) {
	all, err := c.cfg.Stats.All(r.Context())
	merged, services := stats.Merge(all), c.cfg.Gateway.Services()
	state = c.cfg.Gateway.State()
	mailboxes := make(map[string]metrics.Mailbox)
	for _, m := range state.Mailboxes {
		mailboxes[m.Service] = m
	}
	names := slices.Collect(maps.Keys(services))
	if _, composed := mailboxes[wire.ReservedService]; composed {
		names = append(names, wire.ReservedService)
	}
	slices.SortFunc(names, cmp.Compare[string])
	for _, name := range names {
		row := serviceRow{Name: name, Service: services[name], Mailbox: mailboxes[name], All: merged.Services[name].All()}
		if of := merged.Services[name]; of != nil {
			row.Points = of.Points
		}
		rows = append(rows, row)
	}
	return rows, state, len(all), err
}

// gatewaysData is what the page of the cluster shows.
type gatewaysData struct {
	Gateways []*stats.Snapshot
	State    metrics.State
	Address  string // of Redis
}

func (c *Console) gateways(r *http.Request, _ *session) (*view, error) {
	all, err := c.cfg.Stats.All(r.Context())
	if err != nil {
		return nil, err
	}
	return &view{Template: "gateways", Title: "Cluster", Data: &gatewaysData{all, c.cfg.Gateway.State(), c.cfg.Conn.Address()}}, nil
}
