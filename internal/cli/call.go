package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus"
)

type callCommand struct {
	commonFlags
	redisFlags
	Async   bool          `help:"Do not wait: print the ticket once the request is accepted. It waits for a worker where none runs; see the command ticket."`
	Timeout time.Duration `help:"How long to wait for the answer. The action's own timeout unless given."`
	Service string        `arg:"" help:"The service to ask."`
	Action  string        `arg:"" help:"What to ask for, such as UPDATE_USER."`
	Arg     []string      `arg:"" optional:"" help:"Arguments, in order: each is JSON, or a bare string. Put -- before one that begins with a hyphen."`
}

// Run asks once and prints the envelope.
func (c *callCommand) Run(ctx context.Context, p *program) error {
	if c.Timeout < 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("--timeout %v is negative", c.Timeout)}
	}
	conn, err := c.connect(&c.redisFlags, bus.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	undelivered := func(err error) error { return &exitError{code: exitUndelivered, err: err} }
	if err := conn.Ping(ctx); err != nil {
		return undelivered(err)
	}
	ask, err := c.ask(ctx, conn)
	if err != nil {
		return undelivered(err)
	}
	if c.Async && ask.Safe {
		return &exitError{code: exitUsage, err: fmt.Errorf("--async: %s only reads, and nothing is kept of it", c.Action)}
	}
	client := bus.NewClient(conn, bus.ClientConfig{ReadyWait: 5 * time.Second}) //nolint:contextcheck // it lives until it is closed
	defer client.Close()
	if c.Async {
		id, err := client.Send(ctx, ask)
		if err != nil {
			return undelivered(fmt.Errorf("%s %s: %w", c.Service, c.Action, err))
		}
		return p.printState(bus.RequestState{ID: id.String(), Service: c.Service, Action: c.Action, State: bus.StateQueued})
	}
	reply, err := client.Do(ctx, ask)
	if err != nil {
		return undelivered(fmt.Errorf("%s %s: %w", c.Service, c.Action, err))
	}
	p.printf("%s\n", reply.Envelope)
	var answer struct {
		OK    bool      `json:"ok"`
		Error bus.Error `json:"error"`
	}
	switch err := json.Unmarshal([]byte(reply.Envelope), &answer); {
	case err == nil && answer.OK:
		return nil
	case answer.Error.Code == bus.CodeTimeout:
		return &exitError{code: exitUndelivered}
	default:
		return &exitError{code: exitFailed}
	}
}

// ask makes the request, as the service's manifest wants it.
func (c *callCommand) ask(ctx context.Context, conn *bus.Conn) (*bus.Ask, error) {
	registry := bus.NewRegistry(conn, nil)
	if err := registry.Look(ctx); err != nil {
		return nil, err
	}
	service := registry.Snapshot()[c.Service]
	if c.Service == bus.ReservedService {
		return nil, fmt.Errorf("%s are called by their routes at a gateway, such as POST /v3/payments", c.Service)
	}
	if service == nil {
		return nil, fmt.Errorf("unknown service %q", c.Service)
	}
	if !service.Live() && !c.Async {
		return nil, errors.New("no worker of " + c.Service + " is running")
	}
	if service.Manifest == nil {
		return nil, fmt.Errorf("nothing is known of what %q does: no worker of it has run lately", c.Service)
	}
	args := jsonArray(c.Arg)
	ask := bus.Ask{Service: c.Service, Action: c.Action, Args: args} // the service says whether it knows the action
	for i := range service.Manifest.Actions {
		if a := &service.Manifest.Actions[i]; a.Name == c.Action {
			ask = a.Ask(c.Service, args)
		}
	}
	if c.Timeout != 0 {
		ask.Timeout = c.Timeout
	}
	ask.Endless = c.Async && c.Timeout == 0
	return &ask, nil
}

// jsonArray takes each argument as JSON, or as a string where it is none.
func jsonArray(args []string) string {
	values := make([]string, len(args))
	for i, arg := range args {
		if json.Valid([]byte(arg)) {
			values[i] = arg
			continue
		}
		text, _ := json.Marshal(arg) // a string always can be
		values[i] = string(text)
	}
	return "[" + strings.Join(values, ",") + "]"
}
