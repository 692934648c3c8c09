package bus

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names a script by its SHA-1; nothing is protected by it
	"embed"
	"encoding/hex"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var scriptFiles embed.FS

// script is one Lua script. It is named by its digest and sent whole only
// when the server does not have it, such as after a restart or SCRIPT FLUSH.
type script struct{ source, sha string }

// loadScript reads a script from its files, one behind the other.
func loadScript(names ...string) script {
	var source []byte
	for _, name := range names {
		part, err := scriptFiles.ReadFile("lua/" + name)
		if err != nil {
			return script{source: `return redis.error_reply("no script ` + name + `")`}
		}
		source = append(source, part...)
	}
	sum := sha1.Sum(source) //nolint:gosec // see above
	return script{source: string(source), sha: hex.EncodeToString(sum[:])}
}

// command calls the script: by digest, or whole.
func (s script) command(ctx context.Context, whole bool, keys []string, args []any) *writeCmd {
	call := make([]any, 0, 3+len(keys)+len(args))
	if whole {
		call = append(call, "eval", s.source)
	} else {
		call = append(call, "evalsha", s.sha)
	}
	call = append(call, len(keys))
	for _, key := range keys {
		call = append(call, key)
	}
	cmd := newWriteCmd(ctx, append(call, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

// begin opens a call of the script, by digest or whole. Keys and arguments follow.
func (s script) begin(out *commands, whole bool, keys, args int) {
	out.begin(3 + keys + args)
	if whole {
		out.text("eval")
		out.text(s.source)
	} else {
		out.text("evalsha")
		out.text(s.sha)
	}
	out.number(int64(keys))
}

// run calls the script once on its own.
func (s script) run(ctx context.Context, rdb redis.UniversalClient, keys []string, args ...any) (any, error) {
	cmd := s.command(ctx, false, keys, args)
	if err := rdb.Process(ctx, cmd); isNoScript(err) {
		cmd = s.command(ctx, true, keys, args)
		_ = rdb.Process(ctx, cmd) // its error is read from the command
	}
	return cmd.Result()
}

// scripts are those that the bus runs on a service's slot.
type scripts struct{ enqueue, settle, keep, retire, replay, watch, cancel script }

func loadScripts() scripts {
	return scripts{
		enqueue: loadScript("lane.lua", "enqueue.lua"),
		settle:  loadScript("lane.lua", "settle.lua"),
		keep:    loadScript("keep.lua"),
		retire:  loadScript("retire.lua"),
		replay:  loadScript("lane.lua", "replay.lua"),
		watch:   loadScript("watch.lua"),
		cancel:  loadScript("lane.lua", "cancel.lua"),
	}
}

// writeCmd is a command that the client library never sends twice: it cannot
// know whether the first one arrived, and two entries would be two requests.
type writeCmd struct{ *redis.Cmd }

func newWriteCmd(ctx context.Context, args ...any) *writeCmd {
	return &writeCmd{redis.NewCmd(ctx, args...)}
}

// NoRetry tells the client library to leave retries to its caller.
func (*writeCmd) NoRetry() bool { return true }

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

func isNoGroup(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED"))
}

func isBusyGroup(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") }
