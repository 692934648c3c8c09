package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/frames"
)

// defaultWithin is how long most steps wait for what they expect.
const defaultWithin = 5 * time.Second

// run runs the steps of the check.
func (s *stage) run(ctx context.Context) error {
	if !s.check.Unstarted {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for i := range s.check.Steps {
		if err := s.step(ctx, &s.check.Steps[i]); err != nil {
			if f, ok := errors.AsType[*failure](err); ok {
				f.expected = fmt.Sprintf("%s (step %d)", f.expected, i+1)
			}
			return err
		}
	}
	if s.release != nil {
		s.release()
		if err := s.stolen; err != nil {
			return err
		}
	}
	if f := s.proxy.unused(); f != nil {
		return failed(fmt.Sprintf("the worker sends %s, so that the fault %s can happen", f.Command, f.Kind), "no such command")
	}
	for _, rule := range []ruleFunc{forbiddenCommands, ownKeys, knownScripts} {
		if err := rule(s, &RuleCheck{}); err != nil {
			return err
		}
	}
	return nil
}

// step runs one step.
func (s *stage) step(ctx context.Context, step *Step) error {
	switch {
	case step.Start != nil:
		return s.start(ctx)
	case step.Send != nil:
		return s.send(step.Send)
	case step.Call != nil:
		if err := s.send(&step.Call.Send); err != nil {
			return err
		}
		if step.Call.Pad > 0 {
			step.Call.Result = step.Call.Args[1 : len(step.Call.Args)-1]
		}
		return s.await(ctx, cmp.Or(step.Call.As, step.Call.Action), step.Call.Times, &step.Call.Expect)
	case step.Reply != nil:
		return s.await(ctx, step.Reply.To, 0, &step.Reply.Expect)
	case step.Silent != nil:
		return s.silent(ctx, step.Silent)
	case step.Redis != nil:
		return s.redis(ctx, step.Redis)
	case step.Take != nil:
		return s.take(ctx, step.Take)
	case step.Settle != nil:
		return s.settle(step.Settle)
	case step.Fault != nil:
		s.proxy.inject(*step.Fault)
		return nil
	case step.Signal != "":
		return s.signal(step.Signal)
	case step.Drain != nil:
		s.drain()
		return nil
	case step.Exit != nil:
		return s.exit(ctx, step.Exit)
	case step.Wait != nil:
		return s.wait(ctx, step.Wait)
	case step.Frame != "":
		return s.frame(step.Frame)
	default:
		rule := rules()[step.Rule.Name]
		if rule == nil {
			return fmt.Errorf("unknown rule %q", step.Rule.Name)
		}
		return rule(s, step.Rule)
	}
}

// await waits for the reply to a request, or to several.
func (s *stage) await(ctx context.Context, name string, times int, e *Expect) error {
	within := e.Within.of(s.cfg.IdleLimit)
	if within == 0 {
		within = defaultWithin + s.cfg.IdleLimit
	}
	one := func(name string) error {
		r, err := s.find(name)
		if err != nil {
			return err
		}
		return s.until(ctx, within, func() error { return s.judge(r, e) })
	}
	if times == 0 {
		return one(name)
	}
	for i := range times {
		if err := one(name + strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// silent expects that a request is not answered.
func (s *stage) silent(ctx context.Context, step *Silent) error {
	r, err := s.find(step.To)
	if err != nil {
		return err
	}
	if err := s.pause(ctx, step.For.of(s.cfg.IdleLimit)); err != nil {
		return err
	}
	if replies := s.repliesTo(r.id); len(replies) > 0 {
		return failed("no reply to "+r.describe(), "%s", replies[0].line)
	}
	return nil
}

// pause waits for a time.
func (s *stage) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// redis runs a command until its answer fits.
func (s *stage) redis(ctx context.Context, step *Redis) error {
	within := cmp.Or(step.Within.of(s.cfg.IdleLimit), defaultWithin)
	return s.until(ctx, within, func() error {
		words := make([]string, len(step.Do))
		for i, word := range step.Do {
			words[i] = s.expand(word)
		}
		v, err := s.admin.do(words...)
		if err != nil {
			return err
		}
		number, _ := strconv.ParseFloat(v.text, 64)
		answer, is := v.plain(), json.RawMessage(s.expand(string(step.Is)))
		line := strings.Join(words, " ")
		switch {
		case step.Is != nil && !same(answer, is):
			return failed(fmt.Sprintf("%s is %s", line, is), "%v", answer)
		case step.Min != nil && number < *step.Min:
			return failed(fmt.Sprintf("%s is at least %v", line, *step.Min), "%v", answer)
		case step.Max != nil && number > *step.Max:
			return failed(fmt.Sprintf("%s is at most %v", line, *step.Max), "%v", answer)
		}
		return nil
	})
}

// take lets the worker of the suite take a request.
func (s *stage) take(ctx context.Context, step *Take) error {
	r, err := s.find(step.Request)
	if err != nil {
		return err
	}
	mailbox := s.keys.Requests(service)
	if _, err := s.admin.do("XGROUP", "CREATE", mailbox, wire.Group, "0", "MKSTREAM"); err != nil && !strings.Contains(err.Error(), "BUSYGROUP") {
		return err
	}
	pending, err := s.admin.do("XPENDING", mailbox, wire.Group, r.entry, r.entry, "1")
	if err != nil {
		return err
	}
	deliveries := 1
	if len(pending.items) == 0 {
		if _, err := s.admin.do("XREADGROUP", "GROUP", wire.Group, thief, "COUNT", "100", "STREAMS", mailbox, ">"); err != nil {
			return err
		}
	} else {
		n, _ := strconv.Atoi(pending.items[0].items[3].text)
		deliveries = n + 1
	}
	deliveries = cmp.Or(step.Deliveries, deliveries)
	_, err = s.admin.do("XCLAIM", mailbox, wire.Group, thief, "0", r.entry,
		"IDLE", strconv.FormatInt(step.Idle.of(s.cfg.IdleLimit).Milliseconds(), 10), "RETRYCOUNT", strconv.Itoa(deliveries), "JUSTID")
	if err != nil {
		return err
	}
	if step.Hold {
		held, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		s.release = func() { stop(); <-done }
		go func() {
			defer close(done)
			s.stolen = s.keep(held, r, time.Hour)
		}()
		return nil
	}
	return s.keep(ctx, r, step.Keep.of(s.cfg.IdleLimit))
}

// keep keeps a request of the worker of the suite for a time.
func (s *stage) keep(ctx context.Context, r *request, d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until); {
		lost, err := s.admin.do("EVAL", scripts()["keep"], "1", s.keys.Requests(service), thief, r.entry)
		if err != nil {
			return err
		}
		if len(lost.items) > 0 {
			return failed("no worker takes a request that its worker keeps", "%s was taken", r.describe()).with(s.trace.named("XCLAIM", "XAUTOCLAIM")...)
		}
		if err := s.pause(ctx, s.cfg.IdleLimit/5); err != nil {
			return nil //nolint:nilerr // the check is over
		}
	}
	return nil
}

// settle ends a request as the worker of the suite.
func (s *stage) settle(step *Settle) error {
	r, err := s.find(step.Request)
	if err != nil {
		return err
	}
	v, err := s.admin.do("EVAL", scripts()["settle"], "3", s.keys.Requests(service), s.keys.Dead(service), s.keys.Record(service, r.id),
		thief, r.entry, r.id, wire.StateDone, "worker="+thief+",attempt=2", string(wire.Success(step.Result)), strconv.Itoa(outcomeKept), "", "2")
	if err != nil {
		return err
	}
	if len(v.items) != 1 || v.items[0].text != "1" {
		return failed("the worker of the suite still owns "+r.describe(), "settle.lua answered %v", v.plain())
	}
	return nil
}

// signal signals the worker.
func (s *stage) signal(name string) error {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "TERM": syscall.SIGTERM}
	number, ok := signals[name]
	if !ok {
		return fmt.Errorf("unknown signal %q", name)
	}
	s.worker().signal(number)
	return nil
}

// exit expects that the worker ends.
func (s *stage) exit(ctx context.Context, step *Exit) error {
	within := step.Within.of(s.cfg.IdleLimit)
	if within == 0 {
		within = 2 * defaultWithin
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	w := s.worker()
	select {
	case <-w.gone():
	case <-timer.C:
		return failed(fmt.Sprintf("the worker ends within %v", within), "it still runs; it printed: %s", w.printed())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if step.Code != nil && w.exitCode() != *step.Code {
		return failed(fmt.Sprintf("the exit code %d", *step.Code), "%d; it printed: %s", w.exitCode(), w.printed())
	}
	return nil
}

// wait waits.
func (s *stage) wait(ctx context.Context, step *Wait) error {
	within := cmp.Or(step.Within.of(s.cfg.IdleLimit), defaultWithin+2*s.cfg.IdleLimit)
	switch {
	case step.Begun != "":
		r, err := s.find(step.Begun)
		if err != nil {
			return err
		}
		return s.until(ctx, within, func() error { return s.begun(r) })
	case step.Settled:
		return s.until(ctx, within, s.settled)
	case step.Restarted:
		pid := s.firstPid()
		return s.until(ctx, within, func() error {
			if now := s.lastPid(); now == pid {
				return failed("the host starts the worker again, and it sends a serve frame", "no other process")
			}
			return nil
		})
	default:
		return s.pause(ctx, step.For.of(s.cfg.IdleLimit))
	}
}

// begun reports that a worker has a request.
func (s *stage) begun(r *request) error {
	expected := "a worker reads " + r.describe()
	if s.cfg.Transport == Frames {
		for _, f := range s.trace.allFrames() {
			if !f.sent && strings.Contains(f.text, `"id":"`+r.id+`"`) {
				return nil
			}
		}
		return failed(expected, "no run frame")
	}
	for _, c := range s.trace.named("XREADGROUP", "XCLAIM", "XAUTOCLAIM") {
		if c.reply != nil && holds(*c.reply, r.entry) {
			return nil
		}
	}
	return failed(expected, "it is not read")
}

// holds reports whether a value holds a text.
func holds(v value, text string) bool {
	if v.text == text {
		return true
	}
	for _, item := range v.items {
		if holds(item, text) {
			return true
		}
	}
	return false
}

// settled reports that the mailbox is empty.
func (s *stage) settled() error {
	length, err := s.admin.do("XLEN", s.keys.Requests(service))
	if err != nil {
		return err
	}
	pending, err := s.admin.do("XPENDING", s.keys.Requests(service), wire.Group)
	if err != nil {
		return err
	}
	if length.text != "0" || pending.items[0].text != "0" {
		return failed("an empty mailbox", "%s entries, %s of them pending", length.text, pending.items[0].text)
	}
	return nil
}

// drain tells the worker to finish what runs and to end.
func (s *stage) drain() {
	if f, ok := s.worker().(*framed); ok {
		f.cancel()
		return
	}
	s.worker().signal(syscall.SIGTERM)
}

// frame sends a message to the worker.
func (s *stage) frame(message string) error {
	if f, ok := s.worker().(*framed); ok {
		return f.send(message)
	}
	return errors.New("only a worker that speaks frames takes messages")
}

// firstPid and lastPid return the first and the last process that sent a serve frame.
func (s *stage) firstPid() int { return s.servePids()[0] }

func (s *stage) lastPid() int {
	pids := s.servePids()
	return pids[len(pids)-1]
}

func (s *stage) servePids() []int {
	pids := []int{0}
	for _, f := range s.trace.allFrames() {
		if f.kind() == frames.KindServe {
			if pids[0] == 0 {
				pids = nil
			}
			pids = append(pids, f.pid)
		}
	}
	return pids
}
