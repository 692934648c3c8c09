package cache

import (
	"context"
	_ "embed"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/batch"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/script"
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

	look, fill, extend script.Script
}

// command is one script on its way, or a few plain commands one behind the other.
type command struct {
	script  *script.Script // nil: what is in plain
	keys    []string
	args    []any
	plain   [][]any          // each with its key in the second place
	answers []*redis.Cmd     // to these
	leaves  func()           // before it is sent; may be nil
	done    func(any, error) // with the answer of the script, or of the last plain command
}

// add puts a plain command behind the others, and says where its answer will be.
func (c *command) add(args ...any) int {
	c.plain = append(c.plain, args)
	return len(c.plain) - 1
}

// text is the answer to a plain command; empty: there is nothing.
func (c *command) text(at int) (string, error) {
	text, err := c.answers[at].Text()
	if err == redis.Nil { //nolint:errorlint // the library does not wrap it, and this is asked often
		err = nil
	}
	return text, err
}

func newLine(rdb redis.UniversalClient, cfg *Config) *line {
	l := &line{
		rdb: rdb, timeout: cfg.Timeout, rest: cfg.Away,
		look: script.New(lookLua), fill: script.New(fillLua), extend: script.New(extendLua),
	}
	l.batches = batch.New[*command](batchLimit)
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
	answers := l.send(ctx, batch)
	for i, c := range batch {
		answer, err := answers[i].Result()
		if rediserr.IsNoScript(err) { // Redis was restarted, or its scripts were flushed
			answer, err = c.script.Run(ctx, l.rdb, c.keys, c.args...)
		}
		l.finish(c, answer, err)
	}
}

func (l *line) send(ctx context.Context, batch []*command) []*redis.Cmd {
	pipe := l.rdb.Pipeline()
	answers := make([]*redis.Cmd, len(batch))
	for i, c := range batch {
		if c.script != nil {
			answers[i] = pipe.EvalSha(ctx, c.script.SHA, c.keys, c.args...)
			continue
		}
		c.answers = make([]*redis.Cmd, len(c.plain))
		for j, args := range c.plain {
			c.answers[j] = redis.NewCmd(ctx, args...)
			c.answers[j].SetFirstKeyPos(1)
			_ = pipe.Process(ctx, c.answers[j]) // a pipeline only collects
			answers[i] = c.answers[j]
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	return answers
}

// finish hands an answer over, and notes whether there was one at all.
func (l *line) finish(c *command, answer any, err error) {
	if err == redis.Nil { //nolint:errorlint // the library does not wrap it: there is nothing, which is an answer
		err = nil
	}
	if err != nil && !rediserr.IsServer(err) {
		l.awayTill.Store(time.Now().Add(l.rest).UnixNano())
	}
	c.done(answer, err)
}
