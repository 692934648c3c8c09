package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/terminal"
)

// pauseCommand pauses the mailbox of a service.
type pauseCommand struct {
	deadFlags
	Wait bool `help:"Let callers wait until their deadlines, in place of answering 503."`
}

// resumeCommand ends a pause.
type resumeCommand struct{ deadFlags }

// auditCommand lists what operators did.
type auditCommand struct {
	commonFlags
	redisFlags
	Lines int64 `default:"100" help:"Maximum number of lines."`
	JSON  bool  `name:"json" help:"Print JSON, one line for each action."`
}

// Run pauses the service.
func (c *pauseCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := admin.Pause(ctx, conn, c.Service, !c.Wait); err != nil {
		return undelivered(err)
	}
	audit(ctx, p, conn, admin.AuditLine{What: "pause", Service: c.Service})
	callers := "callers get 503"
	if c.Wait {
		callers = "callers wait until their deadlines"
	}
	p.printf("%s is paused: its workers start no more requests, %s. Resume it with: mailroom resume %s\n", c.Service, callers, c.Service)
	return nil
}

// Run resumes the service.
func (c *resumeCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	paused, err := admin.Resume(ctx, conn, c.Service)
	switch {
	case err != nil:
		return undelivered(err)
	case !paused:
		return fmt.Errorf("%s was not paused", c.Service)
	}
	audit(ctx, p, conn, admin.AuditLine{What: "resume", Service: c.Service})
	p.printf("%s is resumed\n", c.Service)
	return nil
}

// Run lists the audit lines.
func (c *auditCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	lines, err := admin.ReadAudit(ctx, conn, c.Lines)
	if err != nil {
		return undelivered(err)
	}
	if c.JSON {
		var errs []error
		for _, l := range lines {
			errs = append(errs, printLine(p.stdout, l))
		}
		return errors.Join(errs...)
	}
	t := terminal.NewTable(p.stdout, "AT", "WHO", "WHAT", "SERVICE", "TARGET")
	for _, l := range lines {
		t.Row(l.At.Format(time.RFC3339), l.Who, l.What, l.Service, l.Target)
	}
	return t.Flush()
}

// audit records what the command did. A user of Redis without the right to write audit
// lines gets a warning.
func audit(ctx context.Context, p *program, conn *bus.Conn, line admin.AuditLine) {
	line.Who = "shell"
	if u, err := user.Current(); err == nil {
		line.Who = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		line.Who += "@" + host
	}
	if err := admin.Audit(ctx, conn, line); err != nil {
		_, _ = fmt.Fprintln(p.stderr, "mailroom: no audit line was written:", err)
	}
}
