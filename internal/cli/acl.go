package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/oskadev/mailroom/bus"
)

// aclCommand tells Redis, or a person, what a role may do.
type aclCommand struct {
	API    aclAPICommand    `cmd:"" name:"api" help:"A user for gateways, and for the commands that ask as they do."`
	Worker aclWorkerCommand `cmd:"" help:"A user for each of the services; with --user one for a process that serves them all."`
}

// aclFlags are those of both roles.
type aclFlags struct {
	commonFlags
	redisFlags
	User         string   `help:"What the user is called. Like the role or the service unless given."`
	PasswordFile []string `placeholder:"FILE" help:"A file with the user's password. May be given more than once, while a new password replaces an old one."`
	PasswordDir  string   `placeholder:"DIR" help:"A directory of such files, each named like its user."`
	MakePassword bool     `help:"Make the password, and its file, where there is none yet."`
	Apply        bool     `help:"Set the users at --redis, with all of a cluster's servers, instead of printing them."`
}

type aclAPICommand struct{ aclFlags }

// Run prints or sets the user of gateways.
func (c *aclAPICommand) Run(ctx context.Context, p *program) error {
	keys, err := bus.NewKeys(c.Namespace)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	name := c.User
	if name == "" {
		name = bus.RoleAPI
	}
	user, err := bus.GatewayUser(name, keys)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return c.handle(ctx, p, user)
}

type aclWorkerCommand struct {
	aclFlags
	Asks    []string `placeholder:"SERVICE" help:"Services whose actions the handlers may ask for. The user is trusted with the requests of others to these services."`
	Reads   []string `placeholder:"SERVICE" help:"Services of which the handlers may ask for safe actions alone."`
	Service []string `arg:"" help:"The services."`
}

func (c *aclWorkerCommand) access(services ...string) bus.WorkerAccess {
	return bus.WorkerAccess{Services: services, Asks: c.Asks, Reads: c.Reads}
}

// Run prints or sets the users of workers.
func (c *aclWorkerCommand) Run(ctx context.Context, p *program) error {
	keys, err := bus.NewKeys(c.Namespace)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if c.User != "" {
		user, err := bus.WorkerUser(c.User, keys, c.access(c.Service...))
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return c.handle(ctx, p, user)
	}
	var users []bus.ACLUser
	var faults []error
	for _, service := range c.Service {
		user, err := bus.WorkerUser(service, keys, c.access(service))
		users, faults = append(users, user), append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return c.handle(ctx, p, users...)
}

// handle prints users, or sets them.
func (f *aclFlags) handle(ctx context.Context, p *program, users ...bus.ACLUser) error {
	if len(users) > 1 && len(f.PasswordFile) > 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("--password-file holds the password of one user, and these are %d: give --password-dir", len(users))}
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
			_, _ = fmt.Fprintf(p.stderr, "the user %s has no password, so that nobody can log in as it: give --password-file or --password-dir\n", users[i].Name)
		}
		p.printf("%s\n", users[i].Line())
	}
	return nil
}

// givePasswords reads the passwords of a user.
func (f *aclFlags) givePasswords(user *bus.ACLUser) error {
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

// apply sets users at Redis.
func (f *aclFlags) apply(ctx context.Context, p *program, users []bus.ACLUser) error {
	conn, err := f.connect(&f.redisFlags, "", f.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, user := range users {
		saved, err := conn.ApplyACL(ctx, user)
		if err != nil {
			return err
		}
		p.printf("the user %s is set at %s\n", user.Name, conn.Address())
		if !saved {
			_, _ = fmt.Fprintln(p.stderr, "Redis has not written the user to an ACL file (aclfile): without one it forgets its users when it stops")
		}
	}
	return nil
}
