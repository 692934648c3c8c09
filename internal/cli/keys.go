package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/internal/terminal"
)

// keysCommand manages the API keys of clients.
type keysCommand struct {
	Create keysCreateCommand `cmd:"" help:"Create a key and print it once; only its hash is kept."`
	List   keysListCommand   `cmd:"" help:"List keys without their secrets, oldest first."`
	Revoke keysRevokeCommand `cmd:"" help:"Revoke a key; every gateway rejects it within 1 s. Exit code 1: the ID is unknown."`
}

// keysFlags are the flags of all its commands.
type keysFlags struct {
	commonFlags
	redisFlags
}

type keysCreateCommand struct {
	keysFlags
	Name    string        `required:"" help:"Name of the holder, for people."`
	Scope   []string      `help:"Scope of the key; can be repeated."`
	Tenant  string        `help:"Tenant of the key."`
	Expires time.Duration `help:"Lifetime of the key, such as 720h (default: no end)."`
}

type keysListCommand struct {
	keysFlags
	JSON bool `name:"json" help:"Print JSON."`
}

type keysRevokeCommand struct {
	keysFlags
	ID string `arg:"" help:"ID of the key, or the whole key."`
}

// open connects and checks that Redis replies.
func (f *keysFlags) open(ctx context.Context, p *program) (*keys.Store, func(), error) {
	conn, err := f.connect(&f.redisFlags, "", f.logger(p))
	if err != nil {
		return nil, nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		_ = conn.Close()
		return nil, nil, undelivered(err)
	}
	return keys.NewStore(conn), func() { _ = conn.Close() }, nil
}

// Run creates a key. It prints the key alone to stdout, for scripts, and the
// rest to stderr.
func (c *keysCreateCommand) Run(ctx context.Context, p *program) error {
	if c.Expires < 0 {
		return usage(fmt.Errorf("--expires %v is negative", c.Expires))
	}
	wanted := keys.Key{Name: c.Name, Scopes: c.Scope, Tenant: c.Tenant}
	if err := wanted.Check(); err != nil {
		return usage(err)
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
	_, _ = fmt.Fprintf(p.stderr, "Created key %s for %s; scopes: %s; tenant: %s; expires: %s.\nIt is not shown again: only its hash is kept.\n",
		key.ID, terminal.Plain(key.Name), terminal.OrDash(strings.Join(key.Scopes, " ")), terminal.OrDash(terminal.Plain(key.Tenant)), expiry(key))
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
	t := terminal.NewTable(p.stdout, "ID", "NAME", "SCOPES", "TENANT", "CREATED", "EXPIRES")
	for _, key := range all {
		t.Row(key.ID, key.Name, strings.Join(key.Scopes, " "), key.Tenant, key.Created.Format(time.RFC3339), expiry(key))
	}
	return t.Flush()
}

// Run revokes a key.
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
