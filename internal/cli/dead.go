package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/terminal"
)

// deadCommand manages the dead letters of a service.
type deadCommand struct {
	List   deadListCommand   `cmd:"" help:"List the dead letters, oldest first."`
	Show   deadShowCommand   `cmd:"" help:"Print dead letters in full."`
	Replay deadReplayCommand `cmd:"" help:"Send dead letters again under their IDs, without a deadline; one with an outcome does not run again."`
	Drop   deadDropCommand   `cmd:"" help:"Delete dead letters and free their IDs."`
}

// deadFlags are the flags of all its commands.
type deadFlags struct {
	commonFlags
	redisFlags
	Service string `arg:"" help:"Service of the dead letters."`
}

// chosenFlags select letters.
type chosenFlags struct {
	ID  []string `arg:"" optional:"" help:"IDs of the entries or of their requests."`
	All bool     `help:"Select all dead letters that exist when the command starts."`
}

type deadListCommand struct {
	deadFlags
	JSON bool `name:"json" help:"Print JSON, one dead letter per line."`
}

type deadShowCommand struct {
	deadFlags
	chosenFlags
}

type deadReplayCommand struct {
	deadFlags
	chosenFlags
}

type deadDropCommand struct {
	deadFlags
	chosenFlags
}

// letterPage is the number of letters in one read.
const letterPage = 500

// open connects and checks that Redis replies.
func (f *deadFlags) open(ctx context.Context, p *program) (*bus.Conn, error) {
	if err := wire.CheckServiceName(f.Service); err != nil && f.Service != wire.ReservedService {
		return nil, usage(err)
	}
	conn, err := f.connect(&f.redisFlags, "worker "+f.Service, f.logger(p))
	if err != nil {
		return nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		_ = conn.Close()
		return nil, undelivered(err)
	}
	return conn, nil
}

// Run lists the letters.
func (c *deadListCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.JSON {
		return eachLetter(ctx, conn, c.Service, func(l admin.DeadLetter) error { return printLine(p.stdout, l) })
	}
	t := terminal.NewTable(p.stdout, "ENTRY", "REQUEST", "ACTION", "ATTEMPTS", "DEAD SINCE", "REASON")
	err = eachLetter(ctx, conn, c.Service, func(l admin.DeadLetter) error {
		t.Row(l.Entry, l.RequestID(), l.Fields["action"], l.Attempts, l.DeadAt.Format(time.RFC3339), l.Error)
		return nil
	})
	return errors.Join(err, t.Flush())
}

// Run prints the letters in full.
func (c *deadShowCommand) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, &c.deadFlags, func(_ *bus.Conn, l admin.DeadLetter) error { return printJSON(p.stdout, l) })
}

// Run sends the letters again.
func (c *deadReplayCommand) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, &c.deadFlags, func(conn *bus.Conn, l admin.DeadLetter) error {
		became, err := admin.ReplayDeadLetter(ctx, conn, c.Service, l)
		if err == nil {
			audit(ctx, p, conn, admin.AuditLine{What: "replay", Service: c.Service, Target: l.RequestID()})
		}
		return tellLetter(p, l, became, err)
	})
}

// Run deletes the letters.
func (c *deadDropCommand) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, &c.deadFlags, func(conn *bus.Conn, l admin.DeadLetter) error {
		became, err := admin.DropDeadLetter(ctx, conn, c.Service, l)
		if err == nil {
			audit(ctx, p, conn, admin.AuditLine{What: "drop", Service: c.Service, Target: l.RequestID()})
		}
		return tellLetter(p, l, became, err)
	})
}

// tellLetter prints what became of a letter.
func tellLetter(p *program, l admin.DeadLetter, became string, err error) error {
	if err == nil {
		p.printf("%s %s %s\n", l.Entry, terminal.OrDash(terminal.Plain(l.RequestID())), became)
	}
	return err
}

// each calls do for every selected letter. It goes on after a failure and joins
// the errors.
func (c *chosenFlags) each(ctx context.Context, p *program, f *deadFlags, do func(*bus.Conn, admin.DeadLetter) error) error {
	if c.All == (len(c.ID) > 0) {
		return usage(errors.New("no dead letters selected, or both ways used: give IDs or --all"))
	}
	conn, err := f.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.All {
		// Collect first: a letter that returns while do runs is not handled twice.
		var letters []admin.DeadLetter
		err := eachLetter(ctx, conn, f.Service, func(l admin.DeadLetter) error {
			letters = append(letters, l)
			return nil
		})
		for _, l := range letters {
			err = errors.Join(err, do(conn, l))
		}
		return err
	}
	var failed error
	for _, id := range slices.Compact(slices.Clone(c.ID)) {
		l, err := admin.FindDeadLetter(ctx, conn, f.Service, id)
		if err == nil {
			err = do(conn, l)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// eachLetter calls do for all letters of a service, and reads them in pages.
func eachLetter(ctx context.Context, conn *bus.Conn, service string, do func(admin.DeadLetter) error) error {
	after := ""
	for {
		letters, err := admin.DeadLetters(ctx, conn, service, after, letterPage)
		if err != nil {
			return err
		}
		for _, l := range letters {
			if err := do(l); err != nil {
				return err
			}
			after = l.Entry
		}
		if len(letters) < letterPage {
			return nil
		}
	}
}

func printLine(w io.Writer, l any) error {
	return json.NewEncoder(w).Encode(l)
}
