package admin

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/script"
)

// LoadFunctions loads the functions of scripts (FUNCTION LOAD) on every server: users of workers
// have no right to do so. It does nothing where the server has no functions.
func LoadFunctions(ctx context.Context, c *bus.Conn, scripts []script.Script) error {
	return c.EachServer(ctx, func(ctx context.Context, server bus.Redis) error {
		for _, s := range scripts {
			err := s.Load(ctx, server)
			if rediserr.IsReadOnly(err) || rediserr.IsNoFunctions(err) { // a replica gets them from its master
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ApplyACL sets the passwords and the rights of a user and removes all others (ACL
// SETUSER), on every server of a cluster, since each has its own users. It may be
// repeated. It also loads the functions of the protocol. Open connections of the user stay open, with the new rights. It reports
// whether every server has written the user to its ACL file (ACL SAVE); a server without
// such a file loses the user when it stops.
func ApplyACL(ctx context.Context, c *bus.Conn, u ACLUser) (saved bool, err error) {
	if len(u.Passwords) == 0 {
		return false, fmt.Errorf("set the user %q: it has no password; name one", u.Name)
	}
	if err := LoadFunctions(ctx, c, c.Scripts.All()); err != nil {
		return false, err
	}
	var unsaved atomic.Bool
	err = c.EachServer(ctx, func(ctx context.Context, server bus.Redis) error {
		if err := server.ACLSetUser(ctx, u.Name, u.rules()...).Err(); err != nil {
			return err
		}
		err := server.Do(ctx, "acl", "save").Err()
		if rediserr.IsServer(err) && !rediserr.IsRefused(err) {
			unsaved.Store(true)
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("set the user %q at %s: %w", u.Name, c.Address(), err)
	}
	return !unsaved.Load(), nil
}
