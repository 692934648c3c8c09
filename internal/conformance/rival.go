package conformance

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// take lets the worker of the suite take a request.
func (s *stage) take(ctx context.Context, step *suites.Take) error {
	r, err := s.find(step.Request)
	if err != nil {
		return err
	}
	mailbox := s.keys.Requests(suites.Service)
	if _, err := s.admin.Do("XGROUP", "CREATE", mailbox, wire.Group, "0", "MKSTREAM"); err != nil && !strings.Contains(err.Error(), "BUSYGROUP") {
		return err
	}
	pending, err := s.admin.Do("XPENDING", mailbox, wire.Group, r.entry, r.entry, "1")
	if err != nil {
		return err
	}
	deliveries := 1
	if len(pending.Items) == 0 {
		if _, err := s.admin.Do("XREADGROUP", "GROUP", wire.Group, thief, "COUNT", "100", "STREAMS", mailbox, ">"); err != nil {
			return err
		}
	} else {
		n, _ := strconv.Atoi(pending.Items[0].Items[3].Text)
		deliveries = n + 1
	}
	deliveries = cmp.Or(step.Deliveries, deliveries)
	_, err = s.admin.Do("XCLAIM", mailbox, wire.Group, thief, "0", r.entry,
		"IDLE", strconv.FormatInt(step.Idle.Of(s.cfg.IdleLimit).Milliseconds(), 10), "RETRYCOUNT", strconv.Itoa(deliveries), "JUSTID")
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
	return s.keep(ctx, r, step.Keep.Of(s.cfg.IdleLimit))
}

// keep keeps a request of the worker of the suite for a time.
func (s *stage) keep(ctx context.Context, r *request, d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until); {
		lost, err := s.admin.Do("EVAL", trace.Scripts()["keep"], "1", s.keys.Requests(suites.Service), thief, r.entry)
		if err != nil {
			return err
		}
		if len(lost.Items) > 0 {
			return failed("no worker takes a request that its worker keeps", "%s was taken", r.describe()).with(s.trace.Named("XCLAIM", "XAUTOCLAIM", "trial")...)
		}
		if err := s.pause(ctx, s.cfg.IdleLimit/5); err != nil {
			return nil //nolint:nilerr // the check is over
		}
	}
	return nil
}

// settle ends a request as the worker of the suite.
func (s *stage) settle(step *suites.Settle) error {
	r, err := s.find(step.Request)
	if err != nil {
		return err
	}
	v, err := s.admin.Do("EVAL", trace.Scripts()["settle"], "3", s.keys.Requests(suites.Service), s.keys.Dead(suites.Service), s.keys.Record(suites.Service, r.id),
		thief, r.entry, r.id, wire.StateDone, "worker="+thief+",attempt=2", string(wire.Success(step.Result)), strconv.Itoa(outcomeKept), "", "2")
	if err != nil {
		return err
	}
	if len(v.Items) != 1 || v.Items[0].Text != "1" {
		return failed("the worker of the suite still owns "+r.describe(), "settle.lua answered %v", v.Plain())
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
	v, err := s.admin.Do("EVAL", trace.Scripts()["cancel"], "2", s.keys.Requests(suites.Service), s.keys.Record(suites.Service, r.id), line, strconv.Itoa(outcomeKept))
	if err == nil && v.Text != cancelling {
		err = failed(r.describe()+" runs when it is cancelled", "it is %s", v.Text)
	}
	return err
}
