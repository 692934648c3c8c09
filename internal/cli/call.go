package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

type callCommand struct {
	commonFlags
	redisFlags
	Async   bool          `help:"Print the ticket and do not wait; without a worker, the request waits for one."`
	Timeout time.Duration `help:"Time to wait for the reply (default: the timeout of the action)."`
	Service string        `arg:"" help:"Service to call."`
	Action  string        `arg:"" help:"Action to call, such as UPDATE_USER."`
	Arg     []string      `arg:"" optional:"" help:"Arguments in order, each JSON or a bare string; put -- before one that begins with a hyphen and is not a number."`
}

// Run calls the action and prints the envelope of the reply.
func (c *callCommand) Run(ctx context.Context, p *program) error {
	if c.Timeout < 0 {
		return usage(fmt.Errorf("--timeout %v is negative", c.Timeout))
	}
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(ctx); err != nil {
		return undelivered(err)
	}
	request, err := c.request(ctx, conn)
	if err != nil {
		return undelivered(err)
	}
	if c.Async && request.Safe {
		return usage(fmt.Errorf("--async: %s is safe, so no ticket is kept: call it without --async", c.Action))
	}
	client := caller.New(conn, caller.Config{ReadyWait: 5 * time.Second}) //nolint:contextcheck // lives until Close
	defer client.Close()
	if c.Async {
		id, err := client.Send(ctx, request)
		if err != nil {
			return undelivered(fmt.Errorf("%s %s: %w", c.Service, c.Action, err))
		}
		return p.printState(wire.RequestState{ID: id.String(), Service: c.Service, Action: c.Action, State: wire.StateQueued})
	}
	reply, err := client.Do(ctx, request)
	if err != nil {
		return undelivered(fmt.Errorf("%s %s: %w", c.Service, c.Action, err))
	}
	p.printf("%s\n", reply.Envelope)
	var answer struct {
		OK    bool       `json:"ok"`
		Error wire.Error `json:"error"`
	}
	switch err := json.Unmarshal([]byte(reply.Envelope), &answer); {
	case err == nil && answer.OK:
		return nil
	case answer.Error.Code == wire.CodeTimeout:
		return &exitError{code: exitUndelivered}
	default:
		return &exitError{code: exitFailed}
	}
}

// request builds the request from the manifest of the service.
func (c *callCommand) request(ctx context.Context, conn *bus.Conn) (*caller.Call, error) {
	registry := registry.New(conn, nil)
	if err := registry.Look(ctx); err != nil {
		return nil, err
	}
	service := registry.Snapshot()[c.Service]
	if c.Service == wire.ReservedService {
		return nil, fmt.Errorf("%s are called by their routes at a gateway, such as POST /v3/payments", c.Service)
	}
	if service == nil {
		return nil, fmt.Errorf("unknown service %q; mailroom services lists the known ones", c.Service)
	}
	if !service.Live() && !c.Async {
		return nil, errors.New("no worker of " + c.Service + " is running: start one, or use --async")
	}
	if service.Manifest == nil {
		return nil, fmt.Errorf("the actions of %q are unknown, because no worker of it has run recently: start one", c.Service)
	}
	args := jsonArray(c.Arg)
	request := caller.Call{Service: c.Service, Action: c.Action, Args: args} // the service rejects an unknown action
	for i := range service.Manifest.Actions {
		if a := &service.Manifest.Actions[i]; a.Name == c.Action {
			request = caller.NewCall(a, c.Service, args)
		}
	}
	if c.Timeout != 0 {
		request.Timeout = c.Timeout
	}
	request.Endless = c.Async && c.Timeout == 0
	return &request, nil
}

// jsonArray joins arguments to a JSON array. One that is not JSON becomes a
// string.
func jsonArray(args []string) string {
	values := make([]string, len(args))
	for i, arg := range args {
		if json.Valid([]byte(arg)) {
			values[i] = arg
			continue
		}
		text, _ := json.Marshal(arg) // cannot fail for a string
		values[i] = string(text)
	}
	return "[" + strings.Join(values, ",") + "]"
}
