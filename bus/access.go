package bus

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// RefusedError reports that Redis refuses the login of a user or a command. A retry does
// not help until an administrator changes the user or its rights.
type RefusedError struct {
	user    string // of Redis
	address string // of Redis, without credentials
	tried   string // the command with its first key or channel; empty: the login was refused
	cause   error  // the error of Redis
	role    string // of the process; empty: not known
}

// Error returns one line with the user, the refused command and the remedy.
func (e *RefusedError) Error() string {
	switch {
	case e.tried == functionLoad: // the error around it says what to do
		return "Redis at " + e.address + " refuses the user " + e.user + " the right to " + e.tried + " (" + e.cause.Error() + ")"
	case e.tried != "":
		return "Redis at " + e.address + " refuses the user " + e.user + " the right to " + e.tried + " (" + e.cause.Error() +
			"); " + e.remedy("gives it the rights it needs")
	case redis.HasErrorPrefix(e.cause, "NOAUTH"):
		return "Redis at " + e.address + " requires a password (" + e.cause.Error() +
			"); name the user in the URL, as in redis://USER@HOST, and the password file with --redis-password-file"
	default:
		return "Redis at " + e.address + " does not accept the user " + e.user + " with this password (" + e.cause.Error() +
			"); " + e.remedy("sets both")
	}
}

// remedy returns the command that sets the rights of the role, with what it does.
func (e *RefusedError) remedy(does string) string {
	if e.role == "" {
		return "connect as an administrator of Redis"
	}
	set := "`mailroom acl " + e.role
	if usual := strings.TrimPrefix(e.role, "worker "); e.user != usual && e.user != defaultUser {
		set += " --user " + e.user
	}
	return set + " --password-file FILE --apply` " + does
}

// Unwrap returns the error of Redis.
func (e *RefusedError) Unwrap() error { return e.cause }

// functionLoad is the command of a process that may load the functions of the protocol. Those that
// may not need an administrator to do it.
const functionLoad = "FUNCTION LOAD"

// defaultUser is the user of connections that name none.
const defaultUser = "default"

// access turns the refusals of Redis to the clients of a connection into
// RefusedErrors.
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

// explain returns a RefusedError for a refusal, and other errors as they are. The
// command is its name and its arguments.
func (d *access) explain(err error, command ...any) error {
	if !rediserr.IsRefused(err) {
		return err
	}
	if _, known := errors.AsType[*RefusedError](err); known {
		return err
	}
	refused := &RefusedError{user: d.user, address: d.address, cause: err, role: d.role}
	if said, ok := errors.AsType[redis.Error](err); ok {
		refused.cause = said // without the prefix of the client library
	}
	if !redis.HasErrorPrefix(err, "WRONGPASS") && !redis.HasErrorPrefix(err, "NOAUTH") {
		refused.tried = tried(command)
	}
	if strings.HasPrefix(refused.tried, "INFO") || refused.tried == functionLoad {
		return refused // INFO is optional, and so is the right to load functions
	}
	select {
	case d.refused <- refused:
	default: // an earlier one was not taken yet
	}
	return refused
}

// tried returns the name of a command with its first key or channel.
func tried(command []any) string {
	words := make([]string, len(command))
	for i, word := range command {
		words[i], _ = word.(string)
	}
	if len(words) == 0 {
		return "run a command"
	}
	name, rest := strings.ToUpper(words[0]), words[1:]
	switch name {
	case "EVAL", "EVALSHA", "FCALL": // script, number of keys, keys
		name, rest = "run a script", rest[min(2, len(rest)):]
	case "XREADGROUP":
		rest = rest[slices.Index(rest, "streams")+1:]
	case "AUTH", "HELLO": // secrets follow
		rest = nil
	case "FUNCTION":
		return functionLoad
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

// DialHook returns next.
func (d *access) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook explains the error of one command.
func (d *access) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil {
			return nil
		}
		explained := d.explain(err, cmd.Args()...)
		if explained != err { //nolint:errorlint // identity matters, not the chain
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
