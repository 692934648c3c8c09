package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/oskadev/mailroom/api"
	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

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
	services, err := c.services(ctx, p)
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
	return os.WriteFile(c.Out, indented.Bytes(), 0o644) //nolint:gosec // a description of the API is for everybody who reads it
}

// services returns the services in the registry.
func (c *openapiCommand) services(ctx context.Context, p *program) (registry.Snapshot, error) {
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
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
