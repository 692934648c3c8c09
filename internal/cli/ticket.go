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
	"github.com/oskadev/mailroom/bus/wire"
)

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
