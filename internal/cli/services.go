package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/terminal"
)

type servicesCommand struct {
	commonFlags
	redisFlags
	Name  string `arg:"" optional:"" help:"Service to show with its actions and workers (default: all)."`
	Lanes bool   `help:"Also print the lanes of the named service in which requests wait."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// serviceView is the printed form of a service.
type serviceView struct {
	Name     string       `json:"name"`
	Versions []string     `json:"versions"`
	Workers  []workerView `json:"workers"`
	admin.Stats
	Actions []actionView `json:"actions"`
	// Partial are the routes that only some live builds declare.
	Partial []string `json:"partial,omitempty"`
	// Unknown are the members of the manifests that are ignored.
	Unknown []string `json:"unknown,omitempty"`
	// Fault is the limit that the service is over, or why it cannot be read.
	Fault string `json:"fault,omitempty"`
	// MoreWorkers is the number of live workers that are not listed.
	MoreWorkers int          `json:"more_workers,omitempty"`
	Lanes       []admin.Lane `json:"lanes,omitempty"`
}

type workerView struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Expires time.Time `json:"expires"`
}

type actionView struct {
	Name    string   `json:"name"`
	Summary string   `json:"summary,omitempty"`
	Routes  []string `json:"routes"`
	Safe    bool     `json:"safe"`
	Lane    string   `json:"lane,omitempty"`
	Timeout int64    `json:"timeout_ms"`
	// NotServed are the routes that gateways leave out, with the reason.
	NotServed map[string]string `json:"not_served,omitempty"`
}

// Run prints the services of the registry and the state of their mailboxes.
func (c *servicesCommand) Run(ctx context.Context, p *program) error {
	if c.Lanes && c.Name == "" {
		return usage(errors.New("--lanes needs the name of a service"))
	}
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(ctx); err != nil {
		return undelivered(err)
	}
	views, err := c.views(ctx, conn)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, views)
	}
	printServices(p.stdout, views)
	printRemarks(p.stdout, views)
	switch c.Name {
	case "":
	case wire.ReservedService: // declares no actions
		p.printf("\nGateways with a versions file run these. To list the routes and their steps: mailroom versions show\n")
	default:
		printDetails(p.stdout, &views[0])
	}
	if c.Lanes {
		printLanes(p.stdout, views[0].Lanes)
	}
	return nil
}

func (c *servicesCommand) views(ctx context.Context, conn *bus.Conn) ([]serviceView, error) {
	known := registry.New(conn, nil)
	if err := known.Look(ctx); err != nil {
		return nil, err
	}
	found := maps.Clone(known.Snapshot())
	found[wire.ReservedService] = &registry.Service{Name: wire.ReservedService} // gateways consume it and declare no actions
	views := []serviceView{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if c.Name != "" && name != c.Name {
			continue
		}
		stats, err := admin.ReadStats(ctx, conn, name)
		if err != nil {
			return nil, err
		}
		if name == wire.ReservedService && c.Name == "" && stats == (admin.Stats{}) {
			continue
		}
		view := viewOf(found[name], stats)
		if c.Lanes {
			if view.Lanes, err = admin.Lanes(ctx, conn, name); err != nil {
				return nil, err
			}
		}
		views = append(views, view)
	}
	if c.Name != "" && len(views) == 0 {
		return nil, fmt.Errorf("unknown service %q; mailroom services lists the known ones", c.Name)
	}
	return views, nil
}

func viewOf(s *registry.Service, stats admin.Stats) serviceView {
	v := serviceView{Name: s.Name, Versions: []string{}, Workers: []workerView{}, Actions: []actionView{}, Unknown: s.Unknown, Stats: stats, Fault: s.Fault, MoreWorkers: s.More}
	if s.Live() {
		v.Partial = s.Partial
	}
	for _, w := range s.Workers {
		v.Workers = append(v.Workers, workerView{ID: w.ID, Version: w.Version, Expires: w.Expires.UTC()})
		if !slices.Contains(v.Versions, w.Version) {
			v.Versions = append(v.Versions, w.Version)
		}
	}
	slices.Sort(v.Versions)
	if s.Manifest != nil {
		for _, a := range s.Manifest.Actions {
			routes := a.Routes
			if routes == nil {
				routes = []string{}
			}
			v.Actions = append(v.Actions, actionView{
				Name: a.Name, Summary: a.Summary, Routes: routes, Safe: a.Safe, Lane: a.Lane, Timeout: a.Timeout().Milliseconds(),
				NotServed: notServed(s.Name, &a, s.Variants[a.Name]),
			})
		}
	}
	return v
}

// notServed returns the routes of an action that gateways leave out, with the reasons.
func notServed(service string, a *wire.Action, variants []*wire.Action) map[string]string {
	var reasons map[string]string
	for _, pattern := range a.Routes {
		if err := route.Check(service, a, pattern, variants...); err != nil {
			if reasons == nil {
				reasons = make(map[string]string)
			}
			reasons[pattern] = err.Error()
		}
	}
	return reasons
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func printServices(w io.Writer, views []serviceView) {
	t := terminal.NewTable(w, "SERVICE", "VERSION", "WORKERS", "ACTIONS", "BACKLOG", "PARKED", "PENDING", "DEAD")
	for _, v := range views {
		t.Row(v.Name, terminal.OrDash(strings.Join(v.Versions, ", ")), len(v.Workers)+v.MoreWorkers, len(v.Actions), v.Backlog, v.Waiting, v.Pending, v.Dead)
	}
	_ = t.Flush()
}

// printRemarks prints what gateways leave out or ignore.
func printRemarks(w io.Writer, views []serviceView) {
	remark := func(format string, args ...any) {
		_, _ = fmt.Fprintf(w, "\n%s\n", terminal.Plain(fmt.Sprintf(format, args...)))
	}
	for _, v := range views {
		if v.Fault != "" {
			_, _ = fmt.Fprintf(w, "\n%s: %s; its last good manifest stays in force\n", v.Name, v.Fault)
		}
		for _, pattern := range v.Partial {
			remark("%s: the route %q is not served: some live builds do not declare it", v.Name, pattern)
		}
		if len(v.Unknown) > 0 {
			remark("%s: unknown members of the manifest are ignored: %s", v.Name, strings.Join(v.Unknown, ", "))
		}
		for _, a := range v.Actions {
			for _, pattern := range slices.Sorted(maps.Keys(a.NotServed)) {
				remark("%s: the route %q of %s is not served: %s", v.Name, pattern, a.Name, a.NotServed[pattern])
			}
		}
	}
}

func printDetails(w io.Writer, v *serviceView) {
	_, _ = fmt.Fprintln(w)
	t := terminal.NewTable(w, "ACTION", "ROUTES", "KIND", "LANE", "TIMEOUT", "SUMMARY")
	for _, a := range v.Actions {
		kind := "unsafe"
		if a.Safe {
			kind = "safe"
		}
		t.Row(a.Name, strings.Join(a.Routes, ", "), kind, a.Lane, time.Duration(a.Timeout)*time.Millisecond, a.Summary)
	}
	_ = t.Flush()
	_, _ = fmt.Fprintln(w)
	t = terminal.NewTable(w, "WORKER", "VERSION")
	for _, worker := range v.Workers {
		t.Row(worker.ID, worker.Version)
	}
	_ = t.Flush()
}

func printLanes(w io.Writer, lanes []admin.Lane) {
	if len(lanes) == 0 {
		_, _ = fmt.Fprintln(w, "\nno request waits in a lane")
		return
	}
	_, _ = fmt.Fprintln(w)
	t := terminal.NewTable(w, "LANE", "WAITING", "TURN OF")
	for _, lane := range lanes {
		t.Row(lane.Key, lane.Waiting, lane.Turn)
	}
	_ = t.Flush()
}
