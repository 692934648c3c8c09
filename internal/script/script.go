// Package script runs Lua scripts on Redis: as functions
// (https://redis.io/docs/latest/develop/programmability/functions-intro/), which a user may
// call without the right to run any other Lua, or where a server has none, by their digest
// (EVALSHA).
//
// Each script is a library of its own with one function. Its name has the digest of the
// source, so that processes of several versions can work on one Redis. A server that does not
// have a script, such as after a restart, gets it with the call that misses it (FUNCTION LOAD,
// EVAL).
package script

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names a script by its SHA-1; nothing is protected by it
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/rediserr"
)

// Way says how scripts are called.
type Way string

// The ways to call scripts.
const (
	// Auto calls functions where the server has them.
	Auto Way = "auto"
	// Functions calls functions (FCALL).
	Functions Way = "functions"
	// Eval calls scripts by their digests (EVALSHA).
	Eval Way = "eval"
)

// Caller decides how the scripts of a connection are called. It is safe for concurrent use.
type Caller struct {
	way  Way
	eval atomic.Bool
}

// NewCaller returns a caller. An empty way is Auto.
func NewCaller(way Way) (*Caller, error) {
	switch way {
	case "":
		way = Auto
	case Auto, Functions, Eval:
	default:
		return nil, fmt.Errorf("scripts %q: want auto, functions or eval", string(way))
	}
	c := &Caller{way: way}
	c.eval.Store(way == Eval)
	return c, nil
}

// Script is one Lua script.
type Script struct {
	// Source is the text for EVAL.
	Source string
	// SHA is the SHA-1 of the source in hexadecimal.
	SHA string
	// Function is the name of the function, and of the library that holds it.
	Function string

	flags  string
	caller *Caller
}

// New returns the script with this name and source. Flags are those of its function, such as
// allow-oom: Redis runs it without free memory too.
func New(caller *Caller, name, source string, flags ...string) Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	s := Script{Source: source, SHA: hex.EncodeToString(sum[:]), caller: caller}
	s.Function = FunctionName(name, s.SHA)
	for _, flag := range flags {
		s.flags += "'" + flag + "', "
	}
	return s
}

// FunctionName returns the name of the function of a script with this SHA-1.
func FunctionName(name, sha string) string { return "mailroom_" + name + "_" + sha[:8] }

// Functions reports whether scripts are called as functions.
func (s Script) Functions() bool { return !s.caller.eval.Load() }

// Library returns the text for FUNCTION LOAD.
func (s Script) Library() string {
	return "#!lua name=" + s.Function + "\nredis.register_function{function_name='" + s.Function +
		"', flags={" + strings.TrimSuffix(s.flags, ", ") + "}, callback=function(KEYS, ARGV)\n" + s.Source + "\nend}\n"
}

// Missing reports that the server did not run the script, since it does not have it or has no
// functions: the call may be repeated, with the source.
func (s Script) Missing(err error) bool {
	if rediserr.IsNoFunctions(err) && s.caller.way == Auto {
		s.caller.eval.Store(true)
		return true
	}
	return rediserr.IsNoScript(err)
}

// processor runs commands: any client of the library.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// Run calls the script once. The client library never repeats the call: it
// cannot know whether the first one arrived.
func (s Script) Run(ctx context.Context, rdb processor, keys []string, args ...any) (any, error) {
	cmd := s.Command(ctx, false, keys, args)
	err := rdb.Process(ctx, cmd)
	if !s.Missing(err) {
		return cmd.Result()
	}
	if s.Functions() {
		if err := s.Load(ctx, serverOf(ctx, rdb, keys)); err != nil {
			return nil, fmt.Errorf("%w: run mailroom acl load as an administrator of Redis", err)
		}
	}
	cmd = s.Command(ctx, true, keys, args)
	_ = rdb.Process(ctx, cmd) // its error is read from the command
	return cmd.Result()
}

// serverOf returns the client of the server that holds the first of the keys.
func serverOf(ctx context.Context, rdb processor, keys []string) processor {
	if cluster, ok := rdb.(*redis.ClusterClient); ok && len(keys) > 0 {
		if master, err := cluster.MasterForKey(ctx, keys[0]); err == nil {
			return master
		}
	}
	return rdb
}

// Load gives a server the function (FUNCTION LOAD).
func (s Script) Load(ctx context.Context, rdb processor) error {
	cmd := redis.NewCmd(ctx, "function", "load", s.Library())
	if err := rdb.Process(ctx, cmd); err != nil && !IsLoaded(err) {
		return fmt.Errorf("load the function %s: %w", s.Function, err)
	}
	return nil
}

// IsLoaded reports that a server has the function of FUNCTION LOAD already.
func IsLoaded(err error) bool {
	return err != nil && strings.Contains(err.Error(), "already exists")
}

// Command returns a call of the script; where it is no function and source is true, with its
// source.
func (s Script) Command(ctx context.Context, source bool, keys []string, args []any) *OnceCmd {
	call := make([]any, 0, 3+len(keys)+len(args))
	switch {
	case s.Functions():
		call = append(call, "fcall", s.Function)
	case source:
		call = append(call, "eval", s.Source)
	default:
		call = append(call, "evalsha", s.SHA)
	}
	call = append(call, len(keys))
	for _, key := range keys {
		call = append(call, key)
	}
	cmd := &OnceCmd{redis.NewCmd(ctx, append(call, args...)...)}
	cmd.SetFirstKeyPos(3)
	return cmd
}

// OnceCmd is a command that the client library never sends twice: two requests
// would be two effects.
type OnceCmd struct{ *redis.Cmd }

// NoRetry tells the client library to leave retries to its caller.
func (*OnceCmd) NoRetry() bool { return true }
