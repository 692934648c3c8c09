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

// Load says how a target is asked, and for how long. The zero value is ready
// to use.
type Load struct {
	// Connections is how many requests are under way at most. Defaults to
	// DefaultConnections.
	Connections int
	// Rate is how many requests begin each second, evenly spread: the open
	// loop. Defaults to 0, the closed loop.
	Rate float64
	// Duration is how long requests begin that count. Defaults to
	// DefaultDuration.
	Duration time.Duration
	// Warmup is how long requests begin before that which do not count.
	// Defaults to 0.
	Warmup time.Duration
	// Drain is how long, after the last request should have begun, answers are
	// awaited. Defaults to DefaultDrain.
	Drain time.Duration
	// Progress is called each second while the load runs, by a goroutine of
	// its own. Defaults to nobody.
	Progress func(Progress)

	// sleep is how the schedule waits; tests have a clock of their own.
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

// pauseUnreached is how long a connection of a closed loop waits when nobody
// was there to answer.
const pauseUnreached = 50 * time.Millisecond

// starts hands out when requests begin.
type starts interface {
	// next waits until a request is to begin, and gives the moment that its
	// latency counts from; false: there are no more.
	next(ctx context.Context) (time.Time, bool)
}

// Run asks until the duration has passed or the context ends, and gives what
// there is.
func (l Load) Run(ctx context.Context, target Target) *Result {
	l.setDefaults()
	begin := time.Now()
	measured := begin.Add(l.Warmup)
	end := measured.Add(l.Duration)
	asking, stop := context.WithDeadline(ctx, end.Add(l.Drain))
	defer stop()

	r := newRecorder(measured)
	var asks starts = closedLoop{end: end}
	var schedule *schedule
	var background sync.WaitGroup
	if l.Rate > 0 {
		schedule = newSchedule(begin, end, l.Rate, l.sleep)
		asks = schedule
		background.Go(func() { schedule.run(asking, measured) })
	}
	if l.Progress != nil {
		background.Go(func() { r.report(asking, begin, schedule, l.Progress) })
	}
	var running sync.WaitGroup
	for range l.Connections {
		running.Go(func() { converse(asking, target.Connect(), asks, r, l.Rate == 0) })
	}
	running.Wait()
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

// converse is the life of one connection.
func converse(ctx context.Context, c Connection, asks starts, r *recorder, closed bool) {
	defer c.Close()
	for {
		start, ok := asks.next(ctx)
		if !ok {
			return
		}
		r.inFlight.Add(1)
		answer := c.Ask(ctx)
		now := time.Now()
		r.inFlight.Add(-1)
		if answer.Failure != "" && ctx.Err() != nil {
			// It did not fail: it was not waited for any longer.
			r.cutOff(start, now)
			return
		}
		r.record(start, now, answer)
		if answer.Unreached && closed {
			pause(ctx, pauseUnreached)
		}
	}
}

// closedLoop lets a request begin whenever somebody asks for one.
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
