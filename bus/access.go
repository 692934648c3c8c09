package bus

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// RefusedError says that Redis does not let a process in, or not do what it has
// to. Trying again does not help until somebody has set the user's rights.
type RefusedError struct {
	// User is whom Redis takes the process for, or should.
	User string
	// Address is where that is, without credentials.
	Address string
	// Tried is the command, with its first key or its channel; empty where the
	// user was not let in at all.
	Tried string
	// Cause is what Redis said.
	Cause error

	role string
}

// Error is one line that names the user, what it may not, and what to do.
func (e *RefusedError) Error() string {
	switch {
	case e.Tried != "":
		return "Redis at " + e.Address + " refuses the user " + e.User + " the right to " + e.Tried + " (" + e.Cause.Error() +
			"); " + e.remedy("gives it the rights it needs")
	case redis.HasErrorPrefix(e.Cause, "NOAUTH"):
		return "Redis at " + e.Address + " lets nobody in without a password (" + e.Cause.Error() +
			"); name the user in the URL, as in redis://USER@HOST, and the password's file by --redis-password-file"
	default:
		return "Redis at " + e.Address + " does not know the user " + e.User + ", or not by this password (" + e.Cause.Error() +
			"); " + e.remedy("sets both")
	}
}

// remedy is the command that mends it for a role; what no role may do, an administrator
// does.
func (e *RefusedError) remedy(does string) string {
	if e.role == "" {
		return "this is for an administrator of Redis: connect as one"
	}
	set := "`mailroom acl " + e.role
	if usual := strings.TrimPrefix(e.role, "worker "); e.User != usual && e.User != defaultUser {
		set += " --user " + e.User
	}
	return set + " --password-file FILE --apply` " + does
}

// Unwrap returns what Redis said.
func (e *RefusedError) Unwrap() error { return e.Cause }

// defaultUser is whom Redis takes those for who name nobody.
const defaultUser = "default"

// door is where a process stands before Redis. It makes a RefusedError of
// whatever Redis refuses to one of the connection's clients.
type access struct {
	user    string
	address string
	role    string
	refused chan error // capacity 1
}

func newAccess(t target, role string) *access {
	d := &access{user: t.options.Username, address: t.String(), role: role, refused: make(chan error, 1)}
	if d.user == "" {
		d.user = defaultUser
	}
	return d
}

// explain makes a RefusedError of a refusal, and leaves other errors alone. The
// command is its name and its arguments.
func (d *access) explain(err error, command ...any) error {
	if known := (*RefusedError)(nil); !rediserr.IsRefused(err) || errors.As(err, &known) {
		return err
	}
	refused := &RefusedError{User: d.user, Address: d.address, Cause: err, role: d.role}
	if said := redis.Error(nil); errors.As(err, &said) {
		refused.Cause = said // without what the client library says before it
	}
	if !redis.HasErrorPrefix(err, "WRONGPASS") && !redis.HasErrorPrefix(err, "NOAUTH") {
		refused.Tried = tried(command)
	}
	if strings.HasPrefix(refused.Tried, "INFO") {
		return refused // nobody depends on it
	}
	select {
	case d.refused <- refused:
	default: // nobody has taken the one before
	}
	return refused
}

// tried is a command as it is told to people: its name, with its first key or
// channel.
func tried(command []any) string {
	words := make([]string, len(command))
	for i, word := range command {
		words[i], _ = word.(string)
	}
	if len(words) == 0 {
		return "do that"
	}
	name, rest := strings.ToUpper(words[0]), words[1:]
	switch name {
	case "EVAL", "EVALSHA": // script, number of keys, keys
		name, rest = "run a script", rest[min(2, len(rest)):]
	case "XREADGROUP":
		rest = rest[slices.Index(rest, "streams")+1:]
	case "AUTH", "HELLO": // secrets follow
		rest = nil
	case "XGROUP", "XINFO", "CLUSTER":
		if len(rest) > 0 {
			name, rest = name+" "+strings.ToUpper(rest[0]), rest[1:]
		}
	}
	if len(rest) == 0 || rest[0] == "" {
		return name
	}
	return name + " on " + rest[0]
}

// DialHook leaves dialing as it is.
func (d *access) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook explains the error of one command.
func (d *access) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil {
			return nil
		}
		explained := d.explain(err, cmd.Args()...)
		if explained != err { //nolint:errorlint // the very same, or another one
			cmd.SetErr(explained)
		}
		return explained
	}
}

// ProcessPipelineHook explains the error of each command.
func (d *access) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil {
			return nil
		}
		for _, cmd := range cmds {
			if refusal := cmd.Err(); rediserr.IsRefused(refusal) {
				cmd.SetErr(d.explain(refusal, cmd.Args()...))
			}
		}
		if rediserr.IsRefused(err) && len(cmds) > 0 && cmds[0].Err() != nil {
			return cmds[0].Err()
		}
		return err
	}
}
