package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/shop"
	"github.com/oskadev/mailroom/versions"
)

// versionsCommand checks and shows versions files.
type versionsCommand struct {
	Check versionsCheckCommand `cmd:"" help:"Check a versions file and print every fault with line and column. Exit code 1: it has a fault."`
	Show  versionsShowCommand  `cmd:"" help:"Print versions with their routes and steps as a tree."`
}

// versionsFile selects a versions file.
type versionsFile struct {
	Versions string `placeholder:"FILE" help:"Versions file (default: the shop example's)."`
}

// read returns the file and its name.
func (f *versionsFile) read(named string) (text []byte, name string, err error) {
	if named == "" {
		named = f.Versions
	}
	if named == "" {
		return shop.Versions, "versions.yaml", nil
	}
	text, err = os.ReadFile(named) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, "", usage(fmt.Errorf("versions file: %w", err))
	}
	return text, named, nil
}

type versionsCheckCommand struct {
	commonFlags
	redisFlags
	versionsFile
	File string `arg:"" optional:"" help:"Versions file (default: --versions)."`
}

// lookPatience is the time to wait for the list of services from Redis.
const lookPatience = 3 * time.Second

// Run prints all faults of the file.
func (c *versionsCheckCommand) Run(ctx context.Context, p *program) error {
	text, name, err := c.read(c.File)
	if err != nil {
		return err
	}
	services, unknown := c.services(ctx, p)
	file, faults := versions.Parse(text, services)
	for _, fault := range faults {
		p.printf("%s:%s\n", name, fault)
	}
	if unknown != nil {
		_, _ = fmt.Fprintf(p.stderr, "not checked against the manifests of services: %v\n", unknown)
	}
	if file == nil {
		return &exitError{code: exitFailed}
	}
	routes := 0
	for _, v := range file.Versions {
		routes += len(v.Plans)
	}
	p.printf("%s: %d versions, %d routes\n", name, len(file.Versions), routes)
	return nil
}

// services returns the services that Redis knows.
func (c *versionsCheckCommand) services(ctx context.Context, p *program) (registry.Snapshot, error) {
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return nil, err
	}
	registry := registry.New(conn, nil)
	if err := registry.Look(ctx); err != nil {
		return nil, err
	}
	return registry.Snapshot(), nil
}

type versionsShowCommand struct {
	commonFlags
	redisFlags
	versionsFile
	What []string `arg:"" optional:"" help:"A version such as v3, a versions file, or both."`
}

// Run prints the tree.
func (c *versionsShowCommand) Run(p *program) error {
	only, named := "", ""
	for _, what := range c.What {
		if regexp.MustCompile(`^v[0-9]+$`).MatchString(what) {
			only = what
		} else {
			named = what
		}
	}
	text, name, err := c.read(named)
	if err != nil {
		return err
	}
	file, faults := versions.Parse(text, nil)
	if file == nil {
		return errors.New(name + ":" + strings.ReplaceAll(faults.String(), "\n", "\n"+name+":"))
	}
	if only != "" && file.Find(only) == nil {
		return usage(fmt.Errorf("%s has no version %s", name, only))
	}
	file.Show(p.stdout, only)
	return nil
}
