package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/call"
)

type callCommand struct {
	commonFlags
	redisFlags
	Async   bool          `help:"Do not wait: print the service and the ID of the request, which make its ticket SERVICE.ID. Without a worker, the request waits for one."`
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
	service, request, err := c.request(ctx, conn)
	if err != nil {
		return undelivered(err)
	}
	if c.Async && request.Declared != nil && request.Declared.Safe {
		return usage(fmt.Errorf("--async: %s is safe, so no ticket is kept: call it without --async", c.Action))
	}
	client := caller.New(conn, caller.Config{ReadyWait: 5 * time.Second}) //nolint:contextcheck // lives until Close
	defer client.Close()
	calls := call.New(call.Config{
		Client: client, Logger: conn.Log(),
		Find: func(context.Context, string) (*registry.Service, error) { return service, nil },
	})
	if c.Async {
		id, err := calls.Send(ctx, request)
		if err != nil {
			return c.failed(p, err)
		}
		return p.printState(wire.RequestState{ID: id.String(), Service: c.Service, Action: c.Action, State: wire.StateQueued})
	}
	answer, err := calls.Do(ctx, request)
	if err != nil {
		return c.failed(p, err)
	}
	p.printf("%s\n", answer.Envelope)
	switch _, failure := wire.ParseEnvelope(answer.Envelope); {
	case failure == nil:
		return nil
	case failure.Code == wire.CodeTimeout:
		return &exitError{code: exitUndelivered}
	default:
		return &exitError{code: exitFailed}
	}
}

// failed ends a call without an answer. An unknown action is the service's refusal, and
// is printed like one.
func (c *callCommand) failed(p *program, err error) error {
	if failure, ok := errors.AsType[*wire.Error](err); ok && failure.Code == wire.CodeNotSupported {
		p.printf("%s\n", wire.Failure(failure))
		return &exitError{code: exitFailed}
	}
	return undelivered(fmt.Errorf("%s %s: %w", c.Service, c.Action, err))
}

// request builds the call from the manifest of the service.
func (c *callCommand) request(ctx context.Context, conn *bus.Conn) (*registry.Service, *call.Call, error) {
	known := registry.New(conn, nil)
	if err := known.Look(ctx); err != nil {
		return nil, nil, err
	}
	service := known.Snapshot()[c.Service]
	switch {
	case c.Service == wire.ReservedService:
		return nil, nil, fmt.Errorf("%s are called by their routes at a gateway, such as POST /v3/payments", c.Service)
	case service == nil:
		return nil, nil, fmt.Errorf("unknown service %q; mailroom services lists the known ones", c.Service)
	case !service.Live() && !c.Async:
		return nil, nil, errors.New("no worker of " + c.Service + " is running: start one, or use --async")
	case service.Manifest == nil:
		return nil, nil, fmt.Errorf("the actions of %q are unknown, because no worker of it has run recently: start one", c.Service)
	}
	return service, &call.Call{
		Call:     caller.Call{Service: c.Service, Action: c.Action, Args: jsonArray(c.Arg), Timeout: c.Timeout, Endless: c.Async && c.Timeout == 0},
		Declared: service.Action(c.Action), Wait: c.Async,
	}, nil
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

type ticketCommand struct {
	commonFlags
	redisFlags
	Name    string        `arg:"" placeholder:"SERVICE.ID" help:"Ticket SERVICE.ID, as in the header Location; service and id are also in the output of call --async."`
	Wait    bool          `help:"Wait until the request ends."`
	Cancel  bool          `help:"Cancel the request. The handler of a running one is told to stop."`
	Timeout time.Duration `help:"Time to wait with --wait (default: no limit)."`
}

// Run prints the state of a request.
func (c *ticketCommand) Run(ctx context.Context, p *program) error {
	service, id, _ := strings.Cut(strings.TrimPrefix(c.Name, "/requests/"), ".")
	if err := wire.CheckServiceName(service); err != nil && service != wire.ReservedService {
		return usage(fmt.Errorf("ticket %q: %w", c.Name, err))
	}
	if len(id) != 36 || uuid.Validate(id) != nil {
		return usage(fmt.Errorf("ticket %q is not SERVICE.ID with a UUID as ID", c.Name))
	}
	conn, err := c.connect(&c.redisFlags, wire.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	if c.Cancel {
		if _, err := caller.Cancel(ctx, conn, service, strings.ToLower(id)); err != nil {
			return undelivered(fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	record, err := c.look(ctx, conn, service, strings.ToLower(id))
	if err != nil {
		return undelivered(fmt.Errorf("%s: %w", c.Name, err))
	}
	if err := p.printState(record.Tell(service, strings.ToLower(id))); err != nil {
		return err
	}
	return c.exit(record)
}

// printState prints the state of a request as a gateway does.
func (p *program) printState(state wire.RequestState) error {
	result, err := json.Marshal(state)
	if err != nil {
		return err
	}
	p.printf("%s\n", wire.Success(result))
	return nil
}

// look reads the record of a request, after its end with --wait.
func (c *ticketCommand) look(ctx context.Context, conn *bus.Conn, service, id string) (caller.Record, error) {
	if !c.Wait {
		return caller.FindRecord(ctx, conn, service, id)
	}
	client := caller.New(conn, caller.Config{ReadyWait: 3 * time.Second}) //nolint:contextcheck // lives until Close
	defer client.Close()
	watching, record, err := client.Watch(ctx, service, id)
	if watching == nil {
		return record, err
	}
	defer watching.Close()
	if _, err := watching.Wait(ctx, 1<<62); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return caller.Record{}, fmt.Errorf("still %s after %v", record.State, c.Timeout)
		}
		return caller.Record{}, err
	}
	return caller.FindRecord(ctx, conn, service, id)
}

// exit returns no error for a request that succeeded or has not ended.
func (c *ticketCommand) exit(record caller.Record) error {
	var envelope struct {
		OK bool `json:"ok"`
	}
	done := record.State == wire.StateDone && json.Unmarshal([]byte(record.Outcome), &envelope) == nil && envelope.OK
	if done || !record.Ended() {
		return nil
	}
	return &exitError{code: exitFailed}
}
