// Package script runs Lua scripts on Redis by their digest (EVALSHA), and sends
// the source (EVAL) only to a server that does not have it, such as after a
// restart or SCRIPT FLUSH.
package script

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names a script by its SHA-1; nothing is protected by it
	"encoding/hex"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// Script is one Lua script.
type Script struct {
	Source string
	// SHA is the SHA-1 of the source in hexadecimal.
	SHA string
}

// New returns the script with this source.
func New(source string) Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return Script{Source: source, SHA: hex.EncodeToString(sum[:])}
}

// processor runs commands: any client of the library.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// Run calls the script once. The client library never repeats the call: it
// cannot know whether the first one arrived.
func (s Script) Run(ctx context.Context, rdb processor, keys []string, args ...any) (any, error) {
	cmd := s.command(ctx, false, keys, args)
	if err := rdb.Process(ctx, cmd); rediserr.IsNoScript(err) {
		cmd = s.command(ctx, true, keys, args)
		_ = rdb.Process(ctx, cmd) // its error is read from the command
	}
	return cmd.Result()
}

func (s Script) command(ctx context.Context, whole bool, keys []string, args []any) *onceCmd {
	call := make([]any, 0, 3+len(keys)+len(args))
	if whole {
		call = append(call, "eval", s.Source)
	} else {
		call = append(call, "evalsha", s.SHA)
	}
	call = append(call, len(keys))
	for _, key := range keys {
		call = append(call, key)
	}
	cmd := &onceCmd{redis.NewCmd(ctx, append(call, args...)...)}
	cmd.SetFirstKeyPos(3)
	return cmd
}

// onceCmd is a command that the client library never sends twice: two requests
// would be two effects.
type onceCmd struct{ *redis.Cmd }

// NoRetry tells the client library to leave retries to its caller.
func (*onceCmd) NoRetry() bool { return true }
