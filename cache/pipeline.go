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

//go:embed lua/lookup.lua
var lookupLua string

//go:embed lua/fill.lua
var fillLua string

//go:embed lua/extend.lua
var extendLua string

const (
	maxBatch  = 128 // commands in one pipeline
	pipelines = 2   // sent at the same time
)

// pipeline sends the commands of all callers to Redis, many in one round trip.
type pipeline struct {
	rdb       client
	batches   *batch.Batcher[*command]
	scripts   scripts
	timeout   time.Duration
	rest      time.Duration // the time for which Redis is not used after a failure
	awayUntil atomic.Int64  // unix ns
	failed    func()        // called when Redis did not answer a command
}

// scripts are the Lua scripts of the cache.
type scripts struct{ lookup, fill, extend script.Script }

// command is one script, or a few plain commands that are sent one after the other.
type command struct {
	script  *script.Script // nil: plain
	keys    []string
	args    []any
	plain   [][]any          // each with its key in the second place
	answers []*redis.Cmd     // of plain
	depart  func()           // called before the command is sent; may be nil
	done    func(any, error) // called with the answer of the script, or of the last plain command
}

// add appends a plain command, and returns its index.
func (c *command) add(args ...any) int {
	c.plain = append(c.plain, args)
	return len(c.plain) - 1
}

// text returns the answer of a plain command; empty: the key does not exist.
func (c *command) text(index int) (string, error) {
	text, err := c.answers[index].Text()
	if err == redis.Nil { //nolint:errorlint // the library does not wrap it, and this is called often
		err = nil
	}
	return text, err
}

func newScripts(caller *script.Caller) scripts {
	return scripts{
		// Without free memory the cache stores no answers, and still shares calls.
		lookup: script.New(caller, "lookup", lookupLua, "allow-oom"), extend: script.New(caller, "extend", extendLua, "allow-oom"),
		fill: script.New(caller, "fill", fillLua),
	}
}

// Scripts returns the scripts of the cache.
func Scripts(caller *script.Caller) []script.Script {
	s := newScripts(caller)
	return []script.Script{s.lookup, s.fill, s.extend}
}

func newPipeline(rdb client, cfg *Config) *pipeline {
	return &pipeline{
		rdb: rdb, timeout: cfg.Timeout, rest: cfg.Away, batches: batch.New[*command](maxBatch),
		scripts: newScripts(cfg.Scripts),
	}
}

// add queues a command.
func (p *pipeline) add(c *command) { p.batches.Add(c) }

// run sends commands until the context ends, and then those that are queued.
func (p *pipeline) run(ctx context.Context) { p.batches.Run(ctx, p.flush) }

// away reports that Redis failed to answer a moment ago.
func (p *pipeline) away() bool {
	until := p.awayUntil.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// rested has Redis not used for a while, since it did not answer.
func (p *pipeline) rested() { p.awayUntil.Store(time.Now().Add(p.rest).UnixNano()) }

func (p *pipeline) flush(batch []*command) {
	for _, c := range batch {
		if c.depart != nil {
			c.depart()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	for i, cmd := range p.send(ctx, batch) {
		answer, err := cmd.Result()
		c := batch[i]
		if c.script != nil && c.script.Missing(err) { // Redis was restarted, or its scripts were flushed
			answer, err = c.script.Run(ctx, p.rdb, c.keys, c.args...)
		}
		p.finish(c, answer, err)
	}
}

// send sends the commands, and returns the last answer of each.
func (p *pipeline) send(ctx context.Context, batch []*command) []*redis.Cmd {
	pipe := p.rdb.Pipeline()
	answers := make([]*redis.Cmd, len(batch))
	for i, c := range batch {
		if c.script != nil {
			call := c.script.Command(ctx, false, c.keys, c.args)
			_ = pipe.Process(ctx, call) // a pipeline only collects
			answers[i] = call.Cmd
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

// finish passes an answer on, and notes whether Redis answered.
func (p *pipeline) finish(c *command, answer any, err error) {
	if err == redis.Nil { //nolint:errorlint // the library does not wrap it; it is an answer: the key does not exist
		err = nil
	}
	switch {
	case err != nil && !rediserr.IsServer(err):
		p.failed()
		p.rested()
	case rediserr.IsReadOnly(err): // it was the master before
		p.failed()
	}
	c.done(answer, err)
}
