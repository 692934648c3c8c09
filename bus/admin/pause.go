package admin

import (
	"context"
	"fmt"

	"github.com/oskadev/mailroom/bus"
)

// Pause stops the delivery of requests from the mailbox of a service, within about a
// second (SET). Running requests end as usual. With refuse, callers get 503 meanwhile;
// else their requests wait until their deadlines.
func Pause(ctx context.Context, c *bus.Conn, service string, refuse bool) error {
	value := "wait"
	if refuse {
		value = "refuse"
	}
	if err := c.Redis().Set(ctx, c.Keys.Paused(service), value, 0).Err(); err != nil {
		return fmt.Errorf("pause %s: %w", service, err)
	}
	return hint(ctx, c, service)
}

// Resume ends a pause (DEL). It reports whether there was one.
func Resume(ctx context.Context, c *bus.Conn, service string) (paused bool, err error) {
	n, err := c.Redis().Del(ctx, c.Keys.Paused(service)).Result()
	if err != nil {
		return false, fmt.Errorf("resume %s: %w", service, err)
	}
	return n > 0, hint(ctx, c, service)
}

// hint makes gateways look at a service at once.
func hint(ctx context.Context, c *bus.Conn, service string) error {
	if err := c.Redis().Publish(ctx, c.Keys.Registry(), service).Err(); err != nil {
		return fmt.Errorf("tell gateways about %s: %w", service, err)
	}
	return nil
}
