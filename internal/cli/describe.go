package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/terminal"
	"github.com/oskadev/mailroom/internal/types"
	"github.com/oskadev/mailroom/workers"
)

// typesCommand writes typed clients.
type typesCommand struct {
	commonFlags
	redisFlags
	Service  []string `arg:"" optional:"" help:"Services to write clients of (default: all)."`
	Lang     string   `required:"" enum:"ts,python,go" help:"Language of the clients: ts, python or go."`
	Manifest []string `placeholder:"FILE" sep:"none" help:"JSON file with the manifest of a service; can be repeated. Redis is then not read."`
	Out      string   `placeholder:"FILE" help:"File to write (default: standard output)."`
	Package  string   `default:"services" help:"Name of the Go package."`
}

// Run writes the clients once.
func (c *typesCommand) Run(ctx context.Context, p *program) error {
	read := c.live
	if len(c.Manifest) > 0 {
		read = c.files
	}
	known, err := read(ctx, p)
	if err != nil {
		return err
	}
	chosen, err := c.choose(known)
	if err != nil {
		return err
	}
	code, err := types.Write(chosen, types.Options{Language: c.Lang, Package: c.Package})
	if err != nil {
		return usage(err)
	}
	if c.Out == "" {
		_, err = p.stdout.Write(code)
		return err
	}
	return os.WriteFile(c.Out, terminal.Escape(code), 0o644) //nolint:gosec // source code is for everybody who builds it
}

// live returns the manifests in the registry.
func (c *typesCommand) live(ctx context.Context, p *program) (map[string]*wire.Manifest, error) {
	services, err := liveServices(ctx, &c.commonFlags, &c.redisFlags, c.logger(p))
	if err != nil {
		return nil, err
	}
	known := make(map[string]*wire.Manifest)
	for name, s := range services {
		if s.Manifest != nil {
			known[name] = s.Manifest
		}
	}
	return known, nil
}

// liveServices returns the services in the registry.
func liveServices(ctx context.Context, common *commonFlags, redis *redisFlags, log *slog.Logger) (registry.Snapshot, error) {
	conn, err := common.connect(redis, wire.RoleAPI, log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(ctx); err != nil {
		return nil, undelivered(err)
	}
	services := registry.New(conn, nil)
	if err := services.Look(ctx); err != nil {
		return nil, err
	}
	return services.Snapshot(), nil
}

// files returns the manifests in the files. They may leave out what has a default.
func (c *typesCommand) files(context.Context, *program) (map[string]*wire.Manifest, error) {
	known := make(map[string]*wire.Manifest)
	for _, file := range c.Manifest {
		text, err := os.ReadFile(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, usage(err)
		}
		s, err := workers.FromManifest(text, nil)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", file, err))
		}
		if text, err = s.Manifest(); err != nil {
			return nil, usage(fmt.Errorf("%s: %w", file, err))
		}
		m, err := wire.ParseManifest(text)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", file, err))
		}
		if known[m.Service] != nil {
			return nil, usage(fmt.Errorf("%s: there are two manifests of %s", file, m.Service))
		}
		known[m.Service] = m
	}
	return known, nil
}

// choose returns the manifests of the named services, or all.
func (c *typesCommand) choose(known map[string]*wire.Manifest) ([]*wire.Manifest, error) {
	if len(c.Service) == 0 {
		return slices.Collect(maps.Values(known)), nil
	}
	var chosen []*wire.Manifest
	for _, name := range c.Service {
		switch m := known[name]; {
		case m == nil:
			return nil, fmt.Errorf("there is no manifest of the service %q", name)
		case !slices.Contains(chosen, m):
			chosen = append(chosen, m)
		}
	}
	return chosen, nil
}

// openapiCommand prints the OpenAPI document of the live services.
type openapiCommand struct {
	commonFlags
	redisFlags
	versionsFile
	Version string   `placeholder:"vN" help:"Version of the API, such as v2 (default: the routes of the services themselves)."`
	Auth    api.Auth `default:"required" placeholder:"none|optional|required" help:"Whether callers need a credential: --auth of the gateways that the document is for."`
	Out     string   `placeholder:"FILE" help:"File to write (default: standard output)."`
}

// Run prints the document once.
func (c *openapiCommand) Run(ctx context.Context, p *program) error {
	if err := c.Auth.Check(); err != nil {
		return usage(err)
	}
	log := c.logger(p)
	var text []byte
	if c.Version != "" {
		var err error
		if text, _, err = c.read(""); err != nil {
			return err
		}
	}
	router, err := route.New("", text, nil, log)
	if err != nil {
		return usage(err)
	}
	services, err := liveServices(ctx, &c.commonFlags, &c.redisFlags, log)
	if err != nil {
		return err
	}
	router.Update(services)
	doc, found, err := openapi.Build(router.Table(), openapi.Options{Version: c.Version, Auth: c.Auth})
	if err != nil {
		return err
	}
	if !found {
		return usage(fmt.Errorf("the versions file has no version %q", c.Version))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, append(doc, '\n'), "", "  "); err != nil {
		return err
	}
	if c.Out == "" {
		_, err = p.stdout.Write(indented.Bytes())
		return err
	}
	return os.WriteFile(c.Out, terminal.Escape(indented.Bytes()), 0o644) //nolint:gosec // a description of the API is for everybody who reads it
}
