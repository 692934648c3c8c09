package shop

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// version is the version of all services.
const version = "1.0.0"

// Shop holds the services of the shop on one Redis.
type Shop struct {
	rdb       redis.Cmdable
	namespace string
}

// New returns a shop whose keys begin with namespace. It does not use Redis yet. Seed requires that rdb is a
// redis.UniversalClient; the parameter names less of it to keep builds fast (CONTRIBUTING.md, "Imports").
func New(rdb redis.Cmdable, namespace string) *Shop {
	return &Shop{rdb: rdb, namespace: namespace}
}

// Services returns all services of the shop. The method of the same name returns a single one.
func (s *Shop) Services() []*workers.Service {
	return []*workers.Service{s.Users(), s.Items(), s.Vouchers(), s.Payments()}
}

// Seed writes the first records of the named services; no name means all. Each service is seeded only once, in one step,
// by any process: later changes of the records stay. Call Seed before the services run.
func (s *Shop) Seed(ctx context.Context, services ...string) error {
	seeds := []struct {
		service string
		seed    func(context.Context) error
	}{
		{"users", newUserStore(s.rdb, s.namespace).seed},
		{"items", newItemStore(s.rdb, s.namespace).seed},
		{"vouchers", newVoucherStore(s.rdb, s.namespace).seed},
	}
	for _, each := range seeds {
		if len(services) > 0 && !slices.Contains(services, each.service) {
			continue
		}
		if err := each.seed(ctx); err != nil {
			return fmt.Errorf("seed the records of %s: %w", each.service, err)
		}
	}
	return nil
}
