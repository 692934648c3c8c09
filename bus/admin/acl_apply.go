package admin

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// ApplyACL makes a user what it should be, and nothing else (ACL SETUSER), on
// every server of a cluster, since each has users of its own. It may be
// repeated. Whoever is logged in as the user stays so, with the new rights. It
// reports whether every server has written the user to its ACL file (ACL SAVE);
// one that has none forgets it when it stops.
func ApplyACL(ctx context.Context, c *bus.Conn, u ACLUser) (saved bool, err error) {
	if len(u.Passwords) == 0 {
		return false, fmt.Errorf("set the user %q: it has no password", u.Name)
	}
	var forgetful atomic.Bool
	apply := func(ctx context.Context, server *redis.Client) error {
		if err := server.ACLSetUser(ctx, u.Name, u.Rules()...).Err(); err != nil {
			return err
		}
		err := server.Do(ctx, "acl", "save").Err()
		if rediserr.IsServer(err) && !rediserr.IsRefused(err) {
			forgetful.Store(true)
			return nil
		}
		return err
	}
	switch rdb := c.Redis().(type) {
	case *redis.Client:
		err = apply(ctx, rdb)
	case *redis.ClusterClient:
		err = rdb.ForEachShard(ctx, apply) // every server, replicas too
	default:
		err = errors.New("this kind of Redis client sets no users")
	}
	if err != nil {
		return false, fmt.Errorf("set the user %q at %s: %w", u.Name, c.Address(), err)
	}
	return !forgetful.Load(), nil
}
