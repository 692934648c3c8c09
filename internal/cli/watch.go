package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oskadev/mailroom/api/stats"
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/history"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/terminal"
)

// topCommand shows what the services do now.
type topCommand struct {
	commonFlags
	redisFlags
	Interval time.Duration `default:"2s" help:"Time between two looks."`
	Once     bool          `help:"Look once."`
	JSON     bool          `name:"json" help:"Print JSON, one line for each look."`
}

// topRow is one service.
type topRow struct {
	Service   string  `json:"service"`
	Rate      float64 `json:"requests_per_second"`
	Errors    float64 `json:"error_ratio"`
	QueueP50  float64 `json:"queue_p50_ms"`
	QueueP99  float64 `json:"queue_p99_ms"`
	RunP50    float64 `json:"run_p50_ms"`
	RunP99    float64 `json:"run_p99_ms"`
	Backlog   int64   `json:"backlog"`
	Pending   int64   `json:"pending"`
	Waiting   int64   `json:"parked"`
	OldestSec float64 `json:"oldest_seconds"`
	Workers   int     `json:"workers"`
	Dead      int64   `json:"dead"`
	Paused    string  `json:"paused,omitempty"`

	// State says what is wrong: "ok", or such as "slow, dead letters".
	State string `json:"state"`
}

// Run prints until the context ends.
func (c *topCommand) Run(ctx context.Context, p *program) error {
	if c.Interval < 100*time.Millisecond {
		return usage(errors.New("--interval has to be at least 100ms"))
	}
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	services := registry.New(conn, nil)
	ticker := time.NewTicker(c.Interval)
	defer ticker.Stop()
	for {
		rows, err := readTop(ctx, conn, services)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return undelivered(err)
		}
		if err := c.print(p.stdout, rows); err != nil || c.Once {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// readTop reads the services, sorted by name.
func readTop(ctx context.Context, conn *bus.Conn, services *registry.Registry) ([]topRow, error) {
	if err := services.Look(ctx); err != nil {
		return nil, err
	}
	known := services.Snapshot()
	names := slices.Sorted(maps.Keys(known))
	mailboxes, err := admin.ReadAllStats(ctx, conn, names)
	if err != nil {
		return nil, err
	}
	gateways, err := stats.Read(ctx, conn)
	if err != nil {
		return nil, err
	}
	merged := stats.Merge(gateways)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	rows := make([]topRow, len(names))
	for i, name := range names {
		all, box := merged.Services[name].All(), mailboxes[i]
		rows[i] = topRow{
			Service: name, Rate: all.Rate(), Errors: all.ErrorRatio(), QueueP50: ms(all.Queue.Quantile(0.5)), QueueP99: ms(all.Queue.Quantile(0.99)),
			RunP50: ms(all.Run.Quantile(0.5)), RunP99: ms(all.Run.Quantile(0.99)), Backlog: box.Backlog, Pending: box.Pending, Waiting: box.Waiting,
			OldestSec: box.Oldest.Seconds(), Workers: len(known[name].Workers), Dead: box.Dead, Paused: known[name].Paused,
		}
		troubles := all.Troubles(box.Oldest, box.Dead)
		switch {
		case rows[i].Paused != "":
			troubles = append(troubles, "paused")
		case rows[i].Workers == 0:
			troubles = append(troubles, "no worker")
		}
		rows[i].State = cmp.Or(strings.Join(troubles, ", "), "ok")
	}
	return rows, nil
}

func (c *topCommand) print(w *terminal.Writer, rows []topRow) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(rows)
	}
	var text strings.Builder
	if !c.Once {
		w.Clear()
	}
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "SERVICE\tREQ/S\tERRORS\tQUEUE P50\tP99\tRUN P50\tP99\tBACKLOG\tRUNNING\tLANES\tOLDEST\tWORKERS\tDEAD\tSTATE\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(t, "%s\t%.1f\t%.1f %%\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%.0f s\t%d\t%d\t%s\t\n", terminal.Plain(r.Service), r.Rate, 100*r.Errors,
			millis(r.QueueP50), millis(r.QueueP99), millis(r.RunP50), millis(r.RunP99), r.Backlog, r.Pending, r.Waiting, r.OldestSec, r.Workers, r.Dead, terminal.Plain(r.State))
	}
	_ = t.Flush()
	if len(rows) == 0 {
		text.WriteString("no service has announced itself yet\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// millis formats milliseconds; "-" for none.
func millis(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.0f ms", ms)
	}
}

// tailCommand shows the requests of a service as they end.
type tailCommand struct {
	deadFlags
	Action string        `help:"Only requests of this action."`
	Failed bool          `help:"Only requests that ended with a status of 500 or more, or without an outcome."`
	Slower time.Duration `help:"Only requests that took longer, with their time in the mailbox."`
	Args   bool          `help:"Print arguments and outcomes, cut to 1 KiB."`
	JSON   bool          `name:"json" help:"Print JSON, one line for each request."`
}

// Run prints until the context ends.
func (c *tailCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(p.stderr, "following %s: a sample of at most 40 requests a second from each worker. Ctrl-C ends it.\n", c.Service)
	var failed error
	err = history.Follow(ctx, conn, c.Service, func(e *history.Entry) bool {
		if c.accepts(e) {
			failed = c.print(p.stdout, e)
		}
		return failed == nil
	})
	if err != nil {
		return undelivered(err)
	}
	return failed
}

func (c *tailCommand) accepts(e *history.Entry) bool {
	return (c.Action == "" || e.Action == c.Action) && (!c.Failed || e.Status >= 500 || e.State != wire.StateDone) && e.Queue+e.Run >= c.Slower
}

func (c *tailCommand) print(w io.Writer, e *history.Entry) error {
	if c.JSON {
		shown := *e
		if !c.Args {
			shown.Args, shown.Outcome = "", ""
		}
		return json.NewEncoder(w).Encode(&shown)
	}
	by := e.Principal
	if e.Caller != "" {
		by = e.Caller
	}
	line := terminal.Plain(fmt.Sprintf("%s  %-24s %s %d  queue %s  run %s  attempt %d  %s  by %s", e.Ended.Format("15:04:05.000"), e.Action, e.State, e.Status,
		millis(float64(e.Queue.Microseconds())/1000), millis(float64(e.Run.Microseconds())/1000), e.Attempt, e.RequestID, terminal.OrDash(by)))
	if c.Args {
		line += "\n    " + terminal.Plain(e.Args) + "\n    " + terminal.Plain(e.Outcome)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
