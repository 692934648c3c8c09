package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxSuspects is how many suspects one look at the pending entries lists, and
	// maxCandidates how many of them one call of trial.lua gets.
	maxSuspects   = 1000
	maxCandidates = 100
	// A trial is over when its request has run for so long: all listed ones are started
	// within trialsTime if each gets at least minTrial.
	trialsTime = time.Second
	minTrial   = 5 * time.Millisecond
	maxTrial   = 50 * time.Millisecond
	// readEvery is how often the worker reads other requests during trials. Redis ends a read
	// that blocks only about every 100 ms.
	readEvery = 5 * time.Millisecond
	// A request runs alone after the others have ended, or after aloneWait. The worker reads
	// other requests again after its end, or after aloneTrial.
	aloneWait  = 2 * time.Second
	aloneTrial = 2 * time.Second
	// maxBeside is how many IDs of requests a mark names.
	maxBeside = 20
)

// givenBack is the consumer of requests without an outcome whose handlers ended by themselves.
const givenBack = "-"

// suspects starts requests whose worker was lost while it ran them: each of them may be the one
// that ended it. A worker starts one at a time, and marks it in Redis during its trial
// (trial.lua). A request that was on trial when its worker was lost, or was delivered too
// often, runs alone the next time: the worker starts nothing beside it. So an innocent request
// gets an outcome before it becomes a dead letter.
//
// All methods are called by the reader.
type suspects struct {
	w        *worker
	requests *requests
	pool     *pool

	entries   []string // listed, and not yet tried
	steady    bool     // the worker was steady when it listed them: they may be of others
	time      time.Duration
	trial     *trial    // nil: none
	nextAlone time.Time // no request runs alone before
	rest      bool      // the reader reads before the next trial
}

// trial is the first time of a run that may end the worker.
type trial struct {
	entry string
	until time.Time
	over  chan struct{} // closed when the run has ended
	lost  bool          // its process is dead; set before over is closed

	beside string // what ran beside it when its worker was lost before; "": unknown
}

// reason returns what a dead letter says about that.
func (t *trial) reason() string {
	if t == nil {
		return ""
	}
	return t.beside
}

// end ends the trial of a delivery, if it has one. Lost means that its process is dead.
func (t *trial) end(lost bool) {
	if t != nil {
		t.lost = lost
		close(t.over)
	}
}

func (t *trial) isOver(now time.Time) bool {
	select {
	case <-t.over:
		return true
	default:
		return !now.Before(t.until)
	}
}

// list replaces the list of suspects. The newest come first: a request that ends its worker at
// once is among those that the worker read last.
func (s *suspects) list(entries []string, steady bool) {
	slices.Reverse(entries)
	s.entries, s.steady = entries, steady
	if len(entries) > 0 {
		s.time = min(maxTrial, max(minTrial, trialsTime/time.Duration(len(entries))))
	}
}

// due reports whether there is something to do.
func (s *suspects) due(now time.Time) bool {
	switch {
	case s.rest:
		return false
	case s.trial != nil:
		return s.trial.isOver(now)
	default:
		return len(s.entries) > 0
	}
}

// read limits the time that the next read may block: during trials it must not.
func (s *suspects) read(limit time.Duration) time.Duration {
	s.rest = false
	if s.trial != nil || len(s.entries) > 0 {
		return 0
	}
	return limit
}

// pause waits after a read that found nothing, while a trial lasts.
func (s *suspects) pause(ctx context.Context) {
	if s.trial != nil {
		s.trial.wait(ctx, min(readEvery, time.Until(s.trial.until)))
	}
}

// next ends the trial, and begins another one.
func (s *suspects) next(ctx, working context.Context) error {
	s.rest = true
	if err := s.finish(ctx); err != nil {
		return err
	}
	if s.steady && !s.w.steady.steady() {
		s.entries = nil
		return nil
	}
	d, alone, err := s.take(ctx)
	if err != nil || d == nil {
		return err
	}
	s.w.log.With(d.LogIDs()).InfoContext(ctx, "took over a request", "attempt", d.Attempt, "alone", alone)
	s.trial = d.trial
	s.requests.start(working, []*Delivery{d})
	if alone && !d.invalidOrLate(s.w) {
		return s.runAlone(ctx, d)
	}
	s.pool.add([]*Delivery{d})
	return nil
}

// runAlone runs a request beside no others, as far as these end in time. The worker then
// reads other requests for at least as long before another request runs alone.
func (s *suspects) runAlone(ctx context.Context, d *Delivery) error {
	began := time.Now()
	defer func() { s.nextAlone = time.Now().Add(time.Since(began)) }()
	s.requests.awaitOthers(ctx, aloneWait)
	if ctx.Err() != nil { // the worker stops: another one takes the request
		s.requests.abandon(d.Entry)
		d.trial.end(false)
		return nil
	}
	owned, err := s.call(ctx, "begin", d.Entry, s.requests.beside(d.Entry))
	if err != nil || owned == int64(0) {
		s.requests.abandon(d.Entry)
		d.trial.end(true) // the mark may be set
		return err
	}
	d.trial.until = time.Now().Add(aloneTrial)
	s.pool.add([]*Delivery{d})
	d.trial.wait(ctx, aloneTrial)
	return s.finish(ctx)
}

// wait waits for the end of the run.
func (t *trial) wait(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.over:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// finish removes the mark of the trial, unless the process of its run is dead.
func (s *suspects) finish(ctx context.Context) error {
	t, lost := s.trial, false
	if t == nil {
		return nil
	}
	select {
	case <-t.over:
		lost = t.lost
	default:
	}
	if !lost {
		if _, err := s.call(ctx, "end", t.entry); err != nil {
			return err
		}
	}
	s.trial = nil
	return nil
}

// take claims one suspect; nil: there is none that this worker may run now.
func (s *suspects) take(ctx context.Context) (d *Delivery, alone bool, err error) {
	candidates := s.entries[:min(len(s.entries), maxCandidates)]
	mayAlone := 1
	if time.Now().Before(s.nextAlone) {
		mayAlone = 0
	}
	args := []any{s.w.cfg.IdleLimit.Milliseconds(), s.aloneFrom(), mayAlone, s.requests.beside("")}
	for _, entry := range candidates {
		args = append(args, entry)
	}
	asked := time.Now()
	answer, err := s.call(ctx, "take", args...)
	if err != nil {
		return nil, false, err
	}
	values, _ := answer.([]any)
	if len(values) > 0 {
		for _, entry := range texts(values[0]) {
			s.w.logDeleted(ctx, entry)
		}
	}
	if len(values) < 6 {
		s.entries = s.entries[len(candidates):]
		return nil, false, nil
	}
	entry, _ := values[1].(string)
	attempt, _ := values[2].(int64)
	mark, _ := values[4].(string)
	s.entries = slices.DeleteFunc(s.entries, func(e string) bool { return e == entry })
	d = newDelivery(entry, texts(values[5]))
	d.Attempt, d.owned = int(attempt), asked
	d.trial = &trial{entry: entry, until: time.Now().Add(s.time), over: make(chan struct{}), beside: describeMark(mark)}
	return d, values[3] == int64(1), nil
}

// aloneFrom returns the number of the delivery from which a request runs alone: the last two.
func (s *suspects) aloneFrom() int { return max(2, s.w.cfg.MaxAttempts-1) }

// call calls trial.lua.
func (s *suspects) call(ctx context.Context, step string, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.w.conn.Timeout())
	defer cancel()
	return s.w.conn.Scripts.Trial.Run(ctx, s.w.conn.Redis(), []string{s.w.mailbox}, append([]any{s.w.id, step}, args...)...)
}

// describeMark describes, for a dead letter, what ran beside a request when its worker was lost.
func describeMark(mark string) string {
	worker, rest, _ := strings.Cut(mark, " ")
	_, beside, known := strings.Cut(rest, " ")
	switch {
	case !known:
		return ""
	case beside == "":
		return fmt.Sprintf("; nothing ran beside it when worker %s was lost", worker)
	default:
		return fmt.Sprintf("; beside it ran %s when worker %s was lost", strings.ReplaceAll(beside, ",", ", "), worker)
	}
}

// texts returns the strings of an array.
func texts(value any) []string {
	values, _ := value.([]any)
	list := make([]string, len(values))
	for i, v := range values {
		list[i], _ = v.(string)
	}
	return list
}
