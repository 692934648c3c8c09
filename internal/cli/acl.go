package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// aclCommand prints or sets the Redis users of a role.
type aclCommand struct {
	API    aclAPICommand    `cmd:"" name:"api" help:"Print or set a user for gateways and for the commands that call services."`
	Worker aclWorkerCommand `cmd:"" help:"Print or set one user per service; with --user, one user for a process that runs them all."`
	Load   aclLoadCommand   `cmd:"" help:"Load the functions that these users call, at --redis, on all servers of a cluster. With --apply, the other commands do that too."`
}

// aclFlags are the flags of both roles.
type aclFlags struct {
	commonFlags
	redisFlags
	User         string   `help:"Name of the user (default: the role or the service)."`
	PasswordFile []string `placeholder:"FILE" help:"File with the password of the user; repeat it while a new password replaces an old one."`
	PasswordDir  string   `placeholder:"DIR" help:"Directory of password files, each named like its user."`
	MakePassword bool     `help:"Make a random password and its file for each user without one."`
	Apply        bool     `help:"Set the users at --redis, on all servers of a cluster, instead of printing them."`
}

type aclAPICommand struct {
	aclFlags
	Console bool     `help:"Also the rights of the console: it reads the history and the dead letters of all services, replays and drops dead letters, pauses services and revokes API keys."`
	Serve   []string `placeholder:"SERVICE" help:"Services that workers may serve on the WebSocket of the gateway. The gateway can then also read their mailboxes and data."`
}

// Run prints or sets the user of gateways.
func (c *aclAPICommand) Run(ctx context.Context, p *program) error {
	keys, err := wire.NewKeys(c.Namespace)
	if err != nil {
		return usage(err)
	}
	name := c.User
	if name == "" {
		name = wire.RoleAPI
	}
	user, err := admin.GatewayUser(name, keys, admin.GatewayAccess{Hosted: c.Serve, Console: c.Console, ByEval: c.byEval()})
	if err != nil {
		return usage(err)
	}
	return c.handle(ctx, p, user)
}

type aclWorkerCommand struct {
	aclFlags
	Asks    []string `placeholder:"SERVICE" help:"Services that the handlers may call. The user can then also read the requests of other callers to these services."`
	Reads   []string `placeholder:"SERVICE" help:"Services of which the handlers may call only the safe actions."`
	Service []string `arg:"" help:"Services of the user."`
}

// access returns the rights of a worker of these services.
func (c *aclWorkerCommand) access(services ...string) admin.WorkerAccess {
	return admin.WorkerAccess{Services: services, Calls: c.Asks, Reads: c.Reads, ByEval: c.byEval()}
}

// Run prints or sets the users of workers.
func (c *aclWorkerCommand) Run(ctx context.Context, p *program) error {
	keys, err := wire.NewKeys(c.Namespace)
	if err != nil {
		return usage(err)
	}
	if c.User != "" {
		user, err := admin.WorkerUser(c.User, keys, c.access(c.Service...))
		if err != nil {
			return usage(err)
		}
		return c.handle(ctx, p, user)
	}
	var users []admin.ACLUser
	var faults []error
	for _, service := range c.Service {
		user, err := admin.WorkerUser(service, keys, c.access(service))
		users, faults = append(users, user), append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return usage(err)
	}
	return c.handle(ctx, p, users...)
}

// handle prints users, or sets them.
func (f *aclFlags) handle(ctx context.Context, p *program, users ...admin.ACLUser) error {
	if len(users) > 1 && len(f.PasswordFile) > 0 {
		return usage(fmt.Errorf("--password-file holds the password of one user, not of %d: give --password-dir", len(users)))
	}
	for i := range users {
		if err := f.givePasswords(&users[i]); err != nil {
			return err
		}
	}
	if f.Apply {
		return f.apply(ctx, p, users)
	}
	for i := range users {
		if len(users[i].Passwords) == 0 {
			_, _ = fmt.Fprintf(p.stderr, "the user %s has no password and cannot log in: give --password-file or --password-dir\n", users[i].Name)
		}
		p.printf("%s\n", users[i].Line())
	}
	return nil
}

// givePasswords reads the passwords of a user.
func (f *aclFlags) givePasswords(user *admin.ACLUser) error {
	files := f.PasswordFile
	if f.PasswordDir != "" {
		files = append(files, filepath.Join(f.PasswordDir, user.Name))
	}
	for i, file := range files {
		if f.MakePassword && i == 0 {
			if err := bus.MakePassword(file); err != nil {
				return err
			}
		}
		password, err := bus.ReadPassword(file)
		if err != nil {
			return err
		}
		user.Passwords = append(user.Passwords, password)
	}
	return nil
}

// byEval reports whether the users run scripts in place of functions.
func (f *aclFlags) byEval() bool { return f.Scripts == "eval" }

func loadFunctions(ctx context.Context, conn *bus.Conn) error {
	return admin.LoadFunctions(ctx, conn, append(conn.Scripts.All(), cache.Scripts(conn.ScriptCaller)...))
}

type aclLoadCommand struct {
	commonFlags
	redisFlags
}

// Run loads the functions.
func (c *aclLoadCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.connect(&c.redisFlags, "", c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := loadFunctions(ctx, conn); err != nil {
		return err
	}
	p.printf("the functions are loaded at %s\n", conn.Address())
	return nil
}

// apply sets users at Redis, and loads the functions that they call.
func (f *aclFlags) apply(ctx context.Context, p *program, users []admin.ACLUser) error {
	conn, err := f.connect(&f.redisFlags, "", f.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if !f.byEval() {
		if err := admin.LoadFunctions(ctx, conn, cache.Scripts(conn.ScriptCaller)); err != nil {
			return err
		}
	}
	for _, user := range users {
		saved, err := admin.ApplyACL(ctx, conn, user)
		if err != nil {
			return err
		}
		p.printf("the user %s is set at %s\n", user.Name, conn.Address())
		if !saved {
			_, _ = fmt.Fprintln(p.stderr, "Redis has no ACL file and loses the user when it stops: set aclfile in its configuration")
		}
	}
	return nil
}
