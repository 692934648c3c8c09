package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oskadev/mailroom/api/keys"
)

// keysCommand is the API keys of clients.
type keysCommand struct {
	Create keysCreateCommand `cmd:"" help:"Make a key, and print it: this once, since only its hash is kept."`
	List   keysListCommand   `cmd:"" help:"List the keys, oldest first, without their secrets."`
	Revoke keysRevokeCommand `cmd:"" help:"End a key, within a second at every gateway. Exit code 1: there is none of that ID."`
}

// keysFlags are those of all its commands.
type keysFlags struct {
	commonFlags
	redisFlags
}

type keysCreateCommand struct {
	keysFlags
	Name    string        `required:"" help:"Whose it is, for people."`
	Scope   []string      `help:"What its holder may do. May be given more than once."`
	Tenant  string        `help:"Whom its holder belongs to."`
	Expires time.Duration `help:"How long it counts, such as 720h. For ever unless given."`
}

type keysListCommand struct {
	keysFlags
	JSON bool `name:"json" help:"Print JSON."`
}

type keysRevokeCommand struct {
	keysFlags
	ID string `arg:"" help:"The key's ID, or the whole key."`
}

// open connects, and checks that Redis answers: keys are made in its time.
func (f *keysFlags) open(ctx context.Context, p *program) (*keys.Store, func(), error) {
	conn, err := f.connect(&f.redisFlags, "", f.logger(p))
	if err != nil {
		return nil, nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		_ = conn.Close()
		return nil, nil, &exitError{code: exitUndelivered, err: err}
	}
	return keys.NewStore(conn), func() { _ = conn.Close() }, nil
}

// Run makes a key. Only the key goes to stdout, for scripts; what it is, to stderr.
func (c *keysCreateCommand) Run(ctx context.Context, p *program) error {
	if c.Expires < 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("--expires %v is negative", c.Expires)}
	}
	wanted := keys.Key{Name: c.Name, Scopes: c.Scope, Tenant: c.Tenant}
	if err := wanted.Check(); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	store, done, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	text, key, err := store.Create(ctx, wanted, c.Expires)
	if err != nil {
		return err
	}
	p.printf("%s\n", text)
	_, _ = fmt.Fprintf(p.stderr, "Made the key %s for %s; scopes: %s; tenant: %s; expires: %s.\nIt is shown this once: only its hash is kept.\n",
		key.ID, key.Name, orDash(strings.Join(key.Scopes, " ")), orDash(key.Tenant), expiry(key))
	return nil
}

func expiry(key keys.Key) string {
	if key.Expires.IsZero() {
		return "never"
	}
	return key.Expires.Format(time.RFC3339)
}

// Run lists the keys.
func (c *keysListCommand) Run(ctx context.Context, p *program) error {
	store, done, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	all, err := store.List(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, all)
	}
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tSCOPES\tTENANT\tCREATED\tEXPIRES")
	for _, key := range all {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", key.ID, key.Name, orDash(strings.Join(key.Scopes, " ")), orDash(key.Tenant),
			key.Created.Format(time.RFC3339), expiry(key))
	}
	return t.Flush()
}

// Run ends a key.
func (c *keysRevokeCommand) Run(ctx context.Context, p *program) error {
	id, err := keys.IDOf(c.ID)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	store, done, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	if err := store.Revoke(ctx, id); err != nil {
		if errors.Is(err, keys.ErrUnknown) {
			return &exitError{code: exitFailed, err: err}
		}
		return err
	}
	p.printf("%s revoked\n", id)
	return nil
}
