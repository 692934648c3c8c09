package cache

import (
	"strconv"
	"strings"
	"time"
)

// Limits of a value, in bytes.
const (
	maxPublished  = 64 << 10 // a longer one is left in Redis, and the message only says so
	maxHandedOver = 4 << 20  // a longer one is not given to other processes
)

// handedLife is the time for which a value that is too long to publish is kept.
const handedLife = 10 * time.Second

// filler stores the outcomes of runs, and hands them to the processes that wait.
type filler struct {
	cfg    *Config
	keys   keys
	pipe   *pipeline
	local  *local
	memory *memoryMonitor
	counts *counts
}

// fill stores an outcome, if that is wanted and possible, gives the lease back and
// hands the outcome over.
func (f *filler) fill(l *lease, o Outcome) {
	life := time.Duration(0)
	if o.Store && len(o.Value) <= f.cfg.MaxValue && !f.memory.full.Load() {
		life = l.query.Policy.life()
	}
	if len(o.Value) > maxHandedOver {
		return // the other processes look up again when the lease has ended
	}
	f.cfg.at(stepFill, l.query.Identity)
	switch {
	case !l.vacant:
		f.replace(l, o, life)
	case life == 0:
		f.giveBack(l, o)
	default:
		f.create(l, o, life)
	}
}

// replace stores an outcome in the place of an existing entry. Only the holder of
// the lease may do that, which lua/fill.lua checks.
func (f *filler) replace(l *lease, o Outcome, life time.Duration) {
	var sent time.Time
	f.pipe.add(&command{
		script: &f.pipe.scripts.fill, keys: f.keys.lookup(l.query, l.digest),
		args:   []any{l.token, l.nonces, life.Milliseconds(), o.Value, l.head(o), maxPublished, l.mode()},
		depart: func() { sent = time.Now() },
		done: func(answer any, err error) {
			if stored, _ := answer.(int64); err == nil && stored == 1 {
				f.stored(l, o, sent)
			}
		},
	})
}

// create stores an outcome where no entry exists, by plain commands. If another
// process was faster, its entry stays: it is as good, or newer. The processes that
// wait for this lease get this outcome in any case.
//
// Unlike the script, create does not compare the nonces with the present ones. An
// entry whose nonces were replaced is never found, and the local entry is as old as
// the lookup.
func (f *filler) create(l *lease, o Outcome, life time.Duration) {
	ms := life.Milliseconds()
	create := &command{plain: make([][]any, 0, 2)}
	set := create.add("set", f.keys.entry(l.query.Space, l.digest), l.nonces+" "+strconv.FormatInt(ms, 10)+" "+o.Value, "nx", "px", ms)
	held := create.add("getdel", f.keys.lease(l.query.Space, l.digest, l.nonces))
	create.done = func(any, error) {
		if create.answers[set].Err() == nil {
			f.stored(l, o, l.since)
		}
		f.handOver(l, o, create, held)
	}
	f.pipe.add(create)
}

// giveBack gives the lease back without storing the outcome, and hands it over.
func (f *filler) giveBack(l *lease, o Outcome) {
	free := &command{}
	held := free.add("getdel", f.keys.lease(l.query.Space, l.digest, l.nonces))
	free.done = func(any, error) { f.handOver(l, o, free, held) }
	f.pipe.add(free)
}

// stored notes that an outcome was stored, and keeps a local entry of it that is as
// old as since.
func (f *filler) stored(l *lease, o Outcome, since time.Time) {
	f.cfg.at(stepFilled, l.query.Identity)
	f.counts.stored.Add(1)
	policy := &l.query.Policy
	f.local.put(l.query, entry{value: o.Value, left: policy.TTL, life: policy.life(), at: since})
}

// handOver publishes an outcome to the processes that the lease names; from holds
// the lease as answer number held. It may be the lease of another leader that took
// this one for dead: this outcome serves its waiters as well.
func (f *filler) handOver(l *lease, o Outcome, from *command, held int) {
	text, err := from.text(held)
	if err != nil {
		return // the other processes look up again when the lease has ended
	}
	_, waiting, _ := strings.Cut(text, " ")
	if waiting == "" {
		return
	}
	message, tell := l.head(o)+o.Value, &command{done: func(any, error) {}}
	if len(o.Value) > maxPublished {
		message = l.head(o)
		tell.add("set", f.keys.handed(l.query.Space, l.digest)+":"+l.token, o.Value, "px", handedLife.Milliseconds())
	}
	for channel := range strings.FieldsSeq(waiting) {
		tell.add("publish", channel, message)
	}
	f.pipe.add(tell)
}
