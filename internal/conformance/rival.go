package conformance

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

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

// cancel cancels a running request.
func (s *stage) cancel(name string) error {
	r, err := s.find(name)
	if err != nil {
		return err
	}
	const cancelling = "cancelling"
	line := r.id + ` - ` + string(wire.Failure(wire.NewError(wire.CodeConflict, "cancelled")))
	v, err := s.admin.do("EVAL", scripts()["cancel"], "2", s.keys.Requests(service), s.keys.Record(service, r.id), line, strconv.Itoa(outcomeKept))
	if err == nil && v.text != cancelling {
		err = failed(r.describe()+" runs when it is cancelled", "it is %s", v.text)
	}
	return err
}
