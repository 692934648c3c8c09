package shop

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// version is what the services of the shop announce.
const version = "1.0.0"

// Shop makes the shop's services over one Redis.
type Shop struct {
	rdb       redis.UniversalClient
	namespace string
}

// New returns a shop whose keys all begin with namespace. It asks nothing of Redis yet.
func New(rdb redis.UniversalClient, namespace string) *Shop {
	return &Shop{rdb: rdb, namespace: namespace}
}

// Services returns all services of the shop. Each can also be made alone, by the method of its name.
func (s *Shop) Services() []*workers.Service {
	return []*workers.Service{s.Users(), s.Items(), s.Vouchers(), s.Payments()}
}

// Seed writes the first records of the named services, or of all when none is named. Each service is seeded once, in
// one step, whoever comes first: a record that was changed or deleted since stays so. Call it before the services run.
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
