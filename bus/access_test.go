package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/resp"
)

func TestRefusedErrorNamesUserCommandAndRemedy(t *testing.T) {
	t.Parallel()
	const (
		noKey  = "NOPERM this user has no permissions to access one of the keys used as arguments"
		within = "ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1."
		newer  = "ERR ACL failure in script: User users has no permissions to run the 'get' command script: 1, on @user_script:1."
	)
	for _, c := range []struct {
		role, user, said string
		command          []any
		want             string
	}{
		{"api", "api", noKey, []any{"xadd", "m:{users}:requests", "*"}, "refuses the user api the right to XADD on m:{users}:requests (" + noKey + "); `mailroom acl api --password-file"},
		{"api", "gate", noKey, []any{"get", "m:secret"}, "`mailroom acl api --user gate --password-file"},
		{"worker users", "users", noKey, []any{"xreadgroup", "group", "workers", "w", "count", 1, "block", 1, "streams", "m:{users}:requests", ">"}, "the right to XREADGROUP on m:{users}:requests ("},
		{"worker users", "users", noKey, []any{"xgroup", "create", "m:{users}:requests", "workers", "0"}, "the right to XGROUP CREATE on m:{users}:requests ("},
		{"worker users items", "items", within, []any{"evalsha", "1", 2, "m:{users}:requests", "k"}, "run a script on m:{users}:requests (" + within + "); `mailroom acl worker users items --user items --"},
		{"worker users", "users", newer, []any{"eval", "return 1", 0}, "the right to run a script ("},
		{"worker users", "", "NOAUTH Authentication required.", []any{"time"}, "requires a password (NOAUTH Authentication required.); name the user in the URL"},
		{"worker users", "", noKey, []any{"ping"}, "refuses the user default the right to PING (" + noKey + "); `mailroom acl worker users --password-file"},
		{"", "x", "WRONGPASS no", []any{"hello", "2", "auth", "x", "hidden"}, "does not accept the user x with this password (WRONGPASS no); connect as an administrator of Redis"},
		{"", "x", "NOPERM no", []any{"auth", "hidden"}, "the right to AUTH (NOPERM no)"},
		{"", "x", "NOPERM no", nil, "the right to run a command (NOPERM no)"},
	} {
		d := newAccess(target{scheme: "redis", options: redis.UniversalOptions{Addrs: []string{"h:1"}, Username: c.user}}, c.role)
		err := d.explain(fmt.Errorf("the library says: %w", resp.Error(c.said)), c.command...)
		var refused *RefusedError
		require.ErrorAs(t, err, &refused, c.said)
		assert.Contains(t, err.Error(), "Redis at redis://h:1 ")
		assert.Contains(t, err.Error(), c.want)
		assert.NotContains(t, err.Error(), "hidden")
		assert.NotContains(t, err.Error(), "\n")
		assert.Equal(t, err, <-d.refused)
		assert.Equal(t, err, d.explain(err, "get", "k"), "once is enough")
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	d := newAccess(target{}, "")
	for _, err := range []error{nil, redis.Nil, context.Canceled, errors.New("NOPERM, says somebody else"), resp.Error("ERR no such key")} {
		assert.Equal(t, err, d.explain(err, "get", "k"))
	}
	require.ErrorAs(t, d.explain(resp.Error("NOPERM no"), "info", "memory"), new(*RefusedError))
	assert.Empty(t, d.refused, "INFO is optional")
}
