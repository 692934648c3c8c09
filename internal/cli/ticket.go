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
)

type ticketCommand struct {
	commonFlags
	redisFlags
	Name    string        `arg:"" placeholder:"SERVICE.ID" help:"The ticket, as the header Location and call --async name it."`
	Wait    bool          `help:"Wait until the request has ended."`
	Timeout time.Duration `help:"How long to wait with --wait. As long as it takes unless given."`
}

// Run prints what became of a request.
func (c *ticketCommand) Run(ctx context.Context, p *program) error {
	service, id, _ := strings.Cut(strings.TrimPrefix(c.Name, "/requests/"), ".")
	if err := bus.CheckServiceName(service); err != nil && service != bus.ReservedService {
		return &exitError{code: exitUsage, err: fmt.Errorf("ticket %q: %w", c.Name, err)}
	}
	if len(id) != 36 || uuid.Validate(id) != nil {
		return &exitError{code: exitUsage, err: fmt.Errorf("ticket %q: want SERVICE.ID, with a UUID", c.Name)}
	}
	conn, err := c.connect(&c.redisFlags, bus.RoleAPI, c.logger(p))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	record, err := c.look(ctx, conn, service, strings.ToLower(id))
	if err != nil {
		return &exitError{code: exitUndelivered, err: fmt.Errorf("%s: %w", c.Name, err)}
	}
	if err := p.printState(record.Tell(service, strings.ToLower(id))); err != nil {
		return err
	}
	return c.exit(record)
}

// printState prints the state of a request, as a gateway answers it.
func (p *program) printState(state bus.RequestState) error {
	result, err := json.Marshal(state)
	if err != nil {
		return err
	}
	p.printf("%s\n", bus.Success(result))
	return nil
}

func (c *ticketCommand) look(ctx context.Context, conn *bus.Conn, service, id string) (bus.Record, error) {
	if !c.Wait {
		return conn.Record(ctx, service, id)
	}
	client := bus.NewClient(conn, bus.ClientConfig{ReadyWait: 3 * time.Second}) //nolint:contextcheck // it lives until it is closed
	defer client.Close()
	watching, record, err := client.Watch(ctx, service, id)
	if watching == nil {
		return record, err
	}
	defer watching.Close()
	if _, err := watching.Wait(ctx, 1<<62); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return bus.Record{}, fmt.Errorf("still %s after %v", record.State, c.Timeout)
		}
		return bus.Record{}, err
	}
	return conn.Record(ctx, service, id)
}

// exit is 0 for a success and for what has not ended yet.
func (c *ticketCommand) exit(record bus.Record) error {
	var envelope struct {
		OK bool `json:"ok"`
	}
	done := record.State == bus.StateDone && json.Unmarshal([]byte(record.Outcome), &envelope) == nil && envelope.OK
	if done || !record.Ended() {
		return nil
	}
	return &exitError{code: exitFailed}
}
