package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
)

var errTooLong = resp.ErrTooLong

// state is what a registry keeps about a service from one read to the next.
type state struct {
	judged map[string]judgement // by digest; those in use

	minute time.Time // when the current minute of count began
	count  int       // manifests that were read in it
}

func newState() *state { return &state{judged: make(map[string]judgement)} }

// visit is one read of one service.
type visit struct {
	*reader

	limits *limits
	name   string
	before *Service // nil: it was not known
	state  *state
}

// read returns the service from its workers.
func (v *visit) read(ctx context.Context) (*Service, error) {
	ctx, cancel := context.WithTimeout(ctx, v.limits.timeout)
	defer cancel()
	s := &Service{Name: v.name}
	now := strconv.FormatInt(v.conn.Clock.Millis(), 10)
	workers, paused := v.conn.Keys.Workers(v.name), v.conn.Keys.Paused(v.name)
	answers, err := v.exchange(ctx, workers, v.between("("+now, "+inf", v.limits.workers+1), []string{"get", paused})
	if err != nil {
		return nil, err
	}
	live, err := v.members(answers[0])
	if err != nil {
		return nil, err
	}
	value, err := resp.Word(answers[1])
	if err != nil {
		return nil, v.conn.Explain(err, "get", paused)
	}
	s.Paused = pauseOf(value)
	listed := live
	switch {
	case len(live) > v.limits.workers:
		if s.More, err = v.more(ctx, now); err != nil {
			return nil, err
		}
		live = live[:v.limits.workers]
		s.Fault = fmt.Sprintf("more than %d live workers: the rest is only counted", v.limits.workers)
		listed = live
	case len(live) == 0:
		if answers, err = v.exchange(ctx, workers, v.between("-inf", now, v.limits.manifests)); err != nil {
			return nil, err
		}
		if listed, err = v.members(answers[0]); err != nil {
			return nil, err
		}
	}
	if err := v.declare(ctx, s, live, listed); err != nil {
		return nil, err
	}
	return s, nil
}

// between returns the command that lists workers by their expiry.
func (v *visit) between(from, to string, limit int) []string {
	return []string{"zrangebyscore", v.conn.Keys.Workers(v.name), from, to, "withscores", "limit", "0", strconv.Itoa(limit)}
}

// more counts the live workers over the limit.
func (v *visit) more(ctx context.Context, now string) (int, error) {
	key := v.conn.Keys.Workers(v.name)
	answers, err := v.exchange(ctx, key, []string{"zcount", key, "(" + now, "+inf"})
	if err != nil {
		return 0, err
	}
	n, err := resp.Number(answers[0])
	return max(0, int(n)-v.limits.workers), v.conn.Explain(err, "zcount", key)
}

// members reads a list of workers. It leaves out what is no worker.
func (v *visit) members(answer string) ([]Worker, error) {
	words, err := resp.Words(answer)
	if err != nil {
		return nil, v.conn.Explain(err, "zrangebyscore", v.conn.Keys.Workers(v.name))
	}
	var workers []Worker
	for i := 0; i+1 < len(words); i += 2 {
		id, digest, ok := strings.Cut(words[i], " ")
		expires, err := strconv.ParseFloat(words[i+1], 64)
		if ok && err == nil && len(id) <= maxWord && len(digest) <= maxWord {
			workers = append(workers, Worker{ID: id, Digest: digest, Expires: time.UnixMilli(int64(expires))})
		}
	}
	return workers, nil
}

// declare fills in what the workers declare. listed are the live workers, or without any
// the last ones.
func (v *visit) declare(ctx context.Context, s *Service, live, listed []Worker) error {
	digests := make(map[string]bool)
	for _, w := range listed {
		digests[w.Digest] = true
	}
	over, err := v.judgeAll(ctx, digests)
	if err != nil {
		return err
	}
	good := make(map[string]*wire.Manifest)
	for _, digest := range slices.Sorted(maps.Keys(digests)) {
		j, known := v.state.judged[digest]
		switch {
		case !known:
		case j.err != nil:
			s.Fault = j.err.Error()
		default:
			good[digest] = j.manifest
		}
	}
	for _, w := range live {
		j, known := v.state.judged[w.Digest]
		if !known && over == "" { // its manifest is missing
			continue
		}
		if j.manifest != nil {
			w.Version = j.manifest.Version
		}
		s.Workers = append(s.Workers, w)
	}
	slices.SortFunc(s.Workers, func(a, b Worker) int { return strings.Compare(a.ID, b.ID) })
	if over != "" {
		s.Fault, good = over, nil
	}
	s.merge(good, v.before)
	return nil
}

// judgeAll reads the manifests with these digests that are not known yet, and forgets all
// others. over says which limit they are over together; nothing was read then.
func (v *visit) judgeAll(ctx context.Context, digests map[string]bool) (over string, err error) {
	if len(digests) > v.limits.manifests {
		return fmt.Sprintf("more than %d different manifests", v.limits.manifests), nil
	}
	maps.DeleteFunc(v.state.judged, func(digest string, _ judgement) bool { return !digests[digest] })
	total := 0
	for _, j := range v.state.judged {
		total += j.size
	}
	var unknown []string
	var lengths [][]string
	for _, digest := range slices.Sorted(maps.Keys(digests)) {
		if _, known := v.state.judged[digest]; !known {
			unknown = append(unknown, digest)
			lengths = append(lengths, []string{"strlen", v.conn.Keys.Manifest(v.name, digest)})
		}
	}
	if len(unknown) == 0 {
		return "", nil
	}
	answers, err := v.exchange(ctx, lengths[0][1], lengths...)
	if err != nil {
		return "", err
	}
	var wanted []string
	for i, digest := range unknown {
		size, err := resp.Number(answers[i])
		switch {
		case err != nil:
			return "", v.conn.Explain(err, lengths[i][0], lengths[i][1])
		case size > int64(v.limits.bytes):
			v.state.judged[digest] = judgement{err: fmt.Errorf("manifest: %d bytes, more than %d", size, v.limits.bytes)}
		case size > 0: // else it is missing
			total += int(size)
			wanted = append(wanted, digest)
		}
	}
	switch now := time.Now(); {
	case total > v.limits.allBytes:
		return fmt.Sprintf("its manifests have more than %d bytes together", v.limits.allBytes), nil
	case now.Sub(v.state.minute) >= time.Minute:
		v.state.minute, v.state.count = now, 0
	}
	if v.state.count += len(wanted); v.state.count > v.limits.judged {
		return fmt.Sprintf("more than %d new manifests in a minute", v.limits.judged), nil
	}
	return "", v.judge(ctx, wanted)
}

// judge reads manifests.
func (v *visit) judge(ctx context.Context, digests []string) error {
	for _, digest := range digests { // one by one: together they may be too long for an answer
		key := v.conn.Keys.Manifest(v.name, digest)
		answers, err := v.exchange(ctx, key, []string{"get", key})
		if err != nil {
			return err
		}
		text, err := resp.Word(answers[0])
		if err != nil {
			return v.conn.Explain(err, "get", key)
		}
		if text != "" {
			v.state.judged[digest] = judge(text, v.name, v.limits)
		}
	}
	return nil
}

// merge sets what manifests declare together; without any it is what was known before.
func (s *Service) merge(manifests map[string]*wire.Manifest, before *Service) {
	digests := slices.Sorted(maps.Keys(manifests))
	s.digests = strings.Join(digests, " ")
	if before != nil && (len(digests) == 0 || s.digests == before.digests) {
		s.keep(before)
		return
	}
	if len(digests) == 0 {
		return
	}
	s.Manifest = intersect(digests, manifests)
	s.Partial, s.Variants = partial(manifests, s.Manifest), variants(digests, manifests, s.Manifest)
	for _, m := range manifests {
		s.Unknown = append(s.Unknown, m.Unknown...)
	}
	slices.Sort(s.Unknown)
	s.Unknown = slices.Compact(s.Unknown)
}

// keep copies what manifests declared before.
func (s *Service) keep(before *Service) {
	s.digests, s.Manifest = before.digests, before.Manifest
	s.Partial, s.Variants, s.Unknown = before.Partial, before.Variants, before.Unknown
}

// unread returns a service that could not be read: as it was before, with the workers that
// have not expired since.
func unread(name string, err error, before *Service, now int64) *Service {
	s := &Service{Name: name, Fault: "cannot be read: " + reason(err)}
	if before == nil {
		return s
	}
	s.keep(before)
	s.Paused = before.Paused
	for _, w := range before.Workers {
		if w.Expires.UnixMilli() > now {
			s.Workers = append(s.Workers, w)
		}
	}
	return s
}

// reason returns an error as a text that stays the same from one read to the next.
func reason(err error) string {
	switch {
	case errors.Is(err, errTooLong):
		return "its workers or manifests are too long"
	case own(err):
		return err.Error()
	default:
		return "Redis did not answer in time"
	}
}

// pauseOf reads the value of a pause. An unknown one refuses calls.
func pauseOf(value string) string {
	switch value {
	case "", PauseWait:
		return value
	default:
		return PauseRefuse
	}
}

// within returns the time until the deadline of a context, at most the limit.
func within(ctx context.Context, limit time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(limit, time.Until(deadline)))
	}
	return limit
}
