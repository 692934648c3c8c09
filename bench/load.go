package bench

import (
	"context"
	"sync"
	"time"
)

// Defaults of a Load.
const (
	DefaultConnections = 64
	DefaultDuration    = 10 * time.Second
	DefaultDrain       = 10 * time.Second
)

// Load describes the load on a target. The zero value is ready to use.
type Load struct {
	// Connections is the number of connections, each with one request at a time.
	// Defaults to 64.
	Connections int
	// Rate is the number of requests that begin per second, evenly spread (open loop).
	// Defaults to 0, the closed loop.
	Rate float64
	// Duration is the time in which measured requests begin. Defaults to 10 s.
	Duration time.Duration
	// Warmup is the time before Duration, in which requests begin that are not measured.
	// Defaults to 0.
	Warmup time.Duration
	// Drain is the time to wait for answers after the last request was due. Defaults to
	// 10 s.
	Drain time.Duration
	// Progress is called each second while the load runs, on its own goroutine.
	// Defaults to nil: no call.
	Progress func(Progress)

	// sleep waits for the schedule, in tests by a fake clock. Defaults to the function
	// sleep.
	sleep func(context.Context, time.Duration)
}

func (l *Load) setDefaults() {
	if l.Connections == 0 {
		l.Connections = DefaultConnections
	}
	if l.Duration == 0 {
		l.Duration = DefaultDuration
	}
	if l.Drain == 0 {
		l.Drain = DefaultDrain
	}
	if l.sleep == nil {
		l.sleep = sleep
	}
}

// pauseUnreached is the time that a connection of a closed loop waits after its target
// was unreachable.
const pauseUnreached = 50 * time.Millisecond

// starts determines when requests begin.
type starts interface {
	// next waits until a request is due, and returns the time from which its latency
	// counts. It returns false after the last request.
	next(ctx context.Context) (time.Time, bool)
}

// Run loads the target until the duration has passed or the context ends, and returns
// the measurements so far.
func (l Load) Run(ctx context.Context, target Target) *Result {
	l.setDefaults()
	begin := time.Now()
	measured := begin.Add(l.Warmup)
	end := measured.Add(l.Duration)
	running, stop := context.WithDeadline(ctx, end.Add(l.Drain))
	defer stop()

	r := newRecorder(measured)
	var due starts = closedLoop{end: end}
	var schedule *schedule
	var background sync.WaitGroup
	if l.Rate > 0 {
		schedule = newSchedule(begin, end, l.Rate, l.sleep)
		due = schedule
		background.Go(func() { schedule.run(running, measured) })
	}
	if l.Progress != nil {
		background.Go(func() { r.report(running, begin, schedule, l.Progress) })
	}
	var connections sync.WaitGroup
	for range l.Connections {
		connections.Go(func() { converse(running, target.Connect(), due, r, l.Rate == 0) })
	}
	connections.Wait()
	stop()
	background.Wait()
	ended := time.Now()
	if schedule != nil {
		schedule.leftOver(func(start time.Time) { r.cutOff(start, ended) })
	}
	result := r.result(ended, end, ctx.Err() != nil)
	result.Target, result.Connections, result.RateWanted = target.String(), l.Connections, l.Rate
	result.Loop = "closed"
	if schedule != nil {
		result.Loop, result.Late = "open", schedule.lateness()
	}
	return result
}

// converse sends the requests of one connection until there are no more.
func converse(ctx context.Context, c Connection, due starts, r *recorder, closed bool) {
	defer c.Close()
	for {
		start, ok := due.next(ctx)
		if !ok {
			return
		}
		r.inFlight.Add(1)
		answer := c.Do(ctx)
		now := time.Now()
		r.inFlight.Add(-1)
		if answer.Failure != "" && ctx.Err() != nil {
			// The request did not fail: the load ended first.
			r.cutOff(start, now)
			return
		}
		r.record(start, now, answer)
		if answer.Unreached && closed {
			pause(ctx, pauseUnreached)
		}
	}
}

// closedLoop lets a request begin whenever a connection is free.
type closedLoop struct{ end time.Time }

func (l closedLoop) next(ctx context.Context) (time.Time, bool) {
	now := time.Now()
	return now, now.Before(l.end) && ctx.Err() == nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
