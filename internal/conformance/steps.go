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
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/worker"
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
	if f := s.proxy.Unused(); f != nil {
		return failed(fmt.Sprintf("the worker sends %s, so that the fault %s can happen", f.Command, f.Kind), "no such command")
	}
	if s.cfg.Transport == suites.Socket {
		return nil // the commands are those of a gateway
	}
	for _, rule := range []ruleFunc{forbiddenCommands, ownKeys, knownScripts} {
		if err := rule(s, &suites.RuleCheck{}); err != nil {
			return err
		}
	}
	return nil
}

// step runs one step.
func (s *stage) step(ctx context.Context, step *suites.Step) error {
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
		s.proxy.Inject(*step.Fault)
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
	case step.Cancel != "":
		return s.cancel(step.Cancel)
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
func (s *stage) await(ctx context.Context, name string, times int, e *suites.Expect) error {
	within := e.Within.Of(s.cfg.IdleLimit)
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
func (s *stage) silent(ctx context.Context, step *suites.Silent) error {
	r, err := s.find(step.To)
	if err != nil {
		return err
	}
	if err := s.pause(ctx, step.For.Of(s.cfg.IdleLimit)); err != nil {
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
func (s *stage) redis(ctx context.Context, step *suites.Redis) error {
	within := cmp.Or(step.Within.Of(s.cfg.IdleLimit), defaultWithin)
	return s.until(ctx, within, func() error {
		words := make([]string, len(step.Do))
		for i, word := range step.Do {
			words[i] = s.expand(word)
		}
		v, err := s.admin.Do(words...)
		if err != nil {
			return err
		}
		number, _ := strconv.ParseFloat(v.Text, 64)
		answer, is := v.Plain(), json.RawMessage(s.expand(string(step.Is)))
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

// sendSignal signals the worker.
func (s *stage) signal(name string) error {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "TERM": syscall.SIGTERM}
	number, ok := signals[name]
	if !ok {
		return fmt.Errorf("unknown signal %q", name)
	}
	worker.SendSignal(s.worker(), number)
	return nil
}

// exit expects that the worker ends.
func (s *stage) exit(ctx context.Context, step *suites.Exit) error {
	within := step.Within.Of(s.cfg.IdleLimit)
	if within == 0 {
		within = 2 * defaultWithin
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	w := s.worker()
	select {
	case <-w.Gone():
	case <-timer.C:
		return failed(fmt.Sprintf("the worker ends within %v", within), "it still runs; it printed: %s", w.Printed())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if step.Code != nil && w.ExitCode() != *step.Code {
		return failed(fmt.Sprintf("the exit code %d", *step.Code), "%d; it printed: %s", w.ExitCode(), w.Printed())
	}
	return nil
}

// wait waits.
func (s *stage) wait(ctx context.Context, step *suites.Wait) error {
	within := cmp.Or(step.Within.Of(s.cfg.IdleLimit), defaultWithin+2*s.cfg.IdleLimit)
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
		err := s.until(ctx, within, func() error {
			if now := s.lastPid(); now == pid {
				return failed("the host starts the worker again, and it sends a serve frame", "no other process")
			}
			return nil
		})
		if err == nil && s.cfg.Transport == suites.Socket { // each socket is a worker of its own
			err = s.until(ctx, within, func() error { return s.seeRegistered(s.worker()) })
		}
		return err
	default:
		return s.pause(ctx, step.For.Of(s.cfg.IdleLimit))
	}
}

// begun reports that a worker has a request.
func (s *stage) begun(r *request) error {
	expected := "a worker reads " + r.describe()
	if s.cfg.Transport != suites.Native {
		for _, f := range s.trace.AllFrames() {
			if !f.Sent && strings.Contains(f.Text, `"id":"`+r.id+`"`) {
				return nil
			}
		}
		return failed(expected, "no run frame")
	}
	for _, c := range s.trace.Named("XREADGROUP", "XCLAIM", "XAUTOCLAIM", "trial") {
		if c.Reply != nil && c.Reply.Holds(r.entry) {
			return nil
		}
	}
	return failed(expected, "it is not read")
}

// settled reports that the mailbox is empty.
func (s *stage) settled() error {
	length, err := s.admin.Do("XLEN", s.keys.Requests(suites.Service))
	if err != nil {
		return err
	}
	pending, err := s.admin.Do("XPENDING", s.keys.Requests(suites.Service), wire.Group)
	if err != nil {
		return err
	}
	if length.Text != "0" || pending.Items[0].Text != "0" {
		return failed("an empty mailbox", "%s entries, %s of them pending", length.Text, pending.Items[0].Text)
	}
	return nil
}

// drain tells the worker to finish what runs and to end.
func (s *stage) drain() {
	if w, ok := s.worker().(interface{ Drain() }); ok {
		w.Drain()
		return
	}
	worker.SendSignal(s.worker(), syscall.SIGTERM)
}

// frame sends a message to the worker.
func (s *stage) frame(message string) error {
	if w, ok := s.worker().(interface{ Send(message string) error }); ok {
		return w.Send(message)
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
	for _, f := range s.trace.AllFrames() {
		if f.Kind() == frames.KindServe {
			if pids[0] == 0 {
				pids = nil
			}
			pids = append(pids, f.Pid)
		}
	}
	return pids
}
