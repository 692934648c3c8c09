package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// PlanTTL is how long the plan of a composition is kept after it was last in force
// at any gateway, and StepStore how long the outcome of a composition's step is: so
// long after it was asked for a composition can be gone on with, and repeats nothing.
const (
	PlanTTL   = 8 * 24 * time.Hour
	StepStore = 7 * 24 * time.Hour
)

// ErrNoPlan says that a plan is not kept any more, or never was.
var ErrNoPlan = errors.New("no such plan")

// KeepPlan keeps a plan for PlanTTL from now (SET).
func (c *Conn) KeepPlan(ctx context.Context, hash string, source []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	if err := c.Redis().Set(ctx, c.Keys.Plan(hash), source, PlanTTL).Err(); err != nil {
		return fmt.Errorf("keep the plan %s: %w", hash, err)
	}
	return nil
}

// Plan gives the source of a plan (GET).
func (c *Conn) Plan(ctx context.Context, hash string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	source, err := c.Redis().Get(ctx, c.Keys.Plan(hash)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: %s", ErrNoPlan, hash)
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan %s: %w", hash, err)
	}
	return source, nil
}
