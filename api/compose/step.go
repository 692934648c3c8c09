package compose

import (
	"context"
	"time"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	calls "github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/versions"
)

// newCall returns the call of a step. own is the meta of the request, id its ID.
func newCall(s *versions.Step, args string, own *wire.Meta, id string, span *tracing.Call) *calls.Call {
	meta := wire.Meta{
		RequestID: own.RequestID, TraceParent: span.TraceParent(own.TraceParent), Version: own.Version, Caller: wire.ReservedService, Depth: own.Depth + 1,
	}
	if meta.RequestID == "" {
		meta.RequestID = id
	}
	return &calls.Call{
		Call:  caller.Call{Service: s.Service, Action: s.Action, Args: args, Principal: own.Principal, Meta: meta.Encode()},
		Depth: meta.Depth,
	}
}

// StepAnswer describes the answer to a step.
type StepAnswer struct {
	// Composition is the method and path.
	Composition string
	Step        *versions.Step
	// Status is the HTTP status.
	Status int
	// Queue and Run are those of the run; 0: it is that of an earlier step.
	Queue, Run time.Duration
	// Took is the time of the step.
	Took time.Duration
}

// observed calls a step within a span and reports its answer.
func (c *Composer) observed(ctx context.Context, composition string, s *versions.Step, step func(*tracing.Call) (calls.Answer, error)) (wire.Reply, error) {
	began := time.Now()
	span := c.cfg.Tracer.Call(ctx, s.Service, s.Action, s.Name)
	answer, err := step(span)
	status := answer.Status(err)
	span.End(answer.Source(), status)
	if err == nil {
		meta, _ := wire.ParseReplyMeta(answer.Meta) // an unreadable meta has no status
		c.cfg.Ended(&StepAnswer{
			Composition: composition, Step: s, Status: status, Queue: meta.Queue, Run: meta.Run, Took: time.Since(began),
		})
	}
	return answer.Reply, err
}

// failedAnswer returns the answer for a step that got none from its service.
func failedAnswer(failed *wire.Error, r *wire.Request) calls.Answer {
	e := *failed
	e.Stamp(r)
	meta := wire.ReplyMeta{Status: e.Status}
	return calls.Answer{Reply: wire.Reply{Meta: string(meta.Append(nil)), Envelope: string(wire.Failure(&e))}}
}

// timings lists start and duration of each step, for Server-Timing.
func timings(steps []versions.Timing) string {
	b := make([]byte, 0, 64)
	for i, t := range steps {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, t.Step...), `;desc="from `...)
		b = append(wire.AppendMillis(b, t.Began), `";dur=`...)
		b = wire.AppendMillis(b, t.Took)
	}
	return string(b)
}
