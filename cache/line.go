package cache

import (
	"context"
	_ "embed"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/batch"
)

//go:embed lua/look.lua
var lookLua string

//go:embed lua/fill.lua
var fillLua string

//go:embed lua/extend.lua
var extendLua string

// Batches to Redis.
const (
	batchLimit = 128 // commands in one pipeline
	lines      = 2   // pipelines under way at once
)

// line takes commands of all who ask to Redis, many in one pipeline.
type line struct {
	rdb      redis.UniversalClient
	batches  *batch.Batcher[*command]
	timeout  time.Duration
	rest     time.Duration // how long Redis is left alone after a failure
	awayTill atomic.Int64  // unix ns

	look, fill, extend *redis.Script
}

// command is one script on its way, or a few plain commands one behind the other.
type command struct {
	script *redis.Script // nil: what is in plain
	keys   []string
	args   []any
	plain  []*redis.Cmd
	leaves func()           // before it is sent; may be nil
	done   func(any, error) // with the answer of the script, or of the last plain command
}

// add puts a plain command behind the others, the key in its second place.
func (c *command) add(args ...any) *redis.Cmd {
	cmd := redis.NewCmd(context.Background(), args...)
	cmd.SetFirstKeyPos(1)
	c.plain = append(c.plain, cmd)
	return cmd
}

func newLine(rdb redis.UniversalClient, cfg *Config) *line {
	l := &line{
		rdb: rdb, timeout: cfg.Timeout, rest: cfg.Away,
		look: redis.NewScript(lookLua), fill: redis.NewScript(fillLua), extend: redis.NewScript(extendLua),
	}
	l.batches = batch.New(batchLimit, l.flush)
	return l
}

// away reports that Redis did not answer a moment ago.
func (l *line) away() bool {
	till := l.awayTill.Load()
	return till != 0 && time.Now().UnixNano() < till
}

func (l *line) flush(batch []*command) {
	for _, c := range batch {
		if c.leaves != nil {
			c.leaves()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	answers := l.send(ctx, batch, (*redis.Script).EvalSha)
	var unknown []*command
	for i, c := range batch {
		if err := answers[i].Err(); redis.HasErrorPrefix(err, "NOSCRIPT") {
			unknown = append(unknown, c)
			continue
		}
		l.finish(c, answers[i])
	}
	if len(unknown) > 0 { // Redis was restarted, or its scripts were flushed
		for i, cmd := range l.send(ctx, unknown, (*redis.Script).Eval) {
			l.finish(unknown[i], cmd)
		}
	}
}

type evaluate = func(*redis.Script, context.Context, redis.Scripter, []string, ...any) *redis.Cmd

func (l *line) send(ctx context.Context, batch []*command, eval evaluate) []*redis.Cmd {
	pipe := l.rdb.Pipeline()
	answers := make([]*redis.Cmd, len(batch))
	for i, c := range batch {
		if c.script != nil {
			answers[i] = eval(c.script, ctx, pipe, c.keys, c.args...)
			continue
		}
		for _, cmd := range c.plain {
			_ = pipe.Process(ctx, cmd) // a pipeline only collects
			answers[i] = cmd
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	return answers
}

// finish hands an answer over, and notes whether there was one at all.
func (l *line) finish(c *command, cmd *redis.Cmd) {
	answer, err := cmd.Result()
	if err == redis.Nil { //nolint:errorlint // the library does not wrap it: there is nothing, which is an answer
		err = nil
	}
	if err != nil && !answered(err) {
		l.awayTill.Store(time.Now().Add(l.rest).UnixNano())
	}
	c.done(answer, err)
}

// answered reports that an error is one that Redis told.
func answered(err error) bool {
	_, told := err.(redis.Error) //nolint:errorlint // the library does not wrap it, and this is asked often
	return told && !strings.HasPrefix(err.Error(), "redis: ")
}
