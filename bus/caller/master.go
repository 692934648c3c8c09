package caller

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/batch"
	"github.com/oskadev/mailroom/internal/lograte"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/replicas"
	"github.com/oskadev/mailroom/internal/resp"
)

const (
	// unusedMaster is the time after which the part of an unused master ends.
	unusedMaster = time.Minute
	// keptIntervals is the number of intervals between looks for which a replica that has left
	// is still required. A master that was replaced, and does not know it yet, loses its
	// replicas one by one.
	keptIntervals = 3
)

// master is the part of replication for one master.
type master struct {
	all     *replication
	server  bus.Redis // the master
	batches *batch.Batcher[*confirmation]
	lookNow chan struct{} // capacity 1: look before the interval ends
	looked  chan struct{} // closed after the first look
	logs    lograte.Limiter
	used    time.Time // guarded by replication.mu

	mu      sync.Mutex
	state   replicas.State // at the last look
	online  []online       // at the last looks
	refuses bool           // too few replicas are known to be connected
}

// online is the number of connected replicas at a time.
type online struct {
	at       time.Time
	replicas int
}

func newMaster(r *replication, server bus.Redis) *master {
	return &master{
		all: r, server: server, batches: batch.New[*confirmation](writeBatch),
		lookNow: make(chan struct{}, 1), looked: make(chan struct{}), refuses: true,
	}
}

// run confirms and looks at the replicas until the context ends or the master is unused.
func (m *master) run(ctx context.Context) {
	p := m.all.conn.NewBoundedPipeline(resp.Limits{String: maxField})
	defer p.Close()
	ctx, stop := context.WithCancel(ctx)
	var confirming sync.WaitGroup
	defer confirming.Wait()
	defer stop()
	confirming.Go(func() {
		m.batches.Run(ctx, func(batch []*confirmation) { m.flush(p, batch) }) //nolint:contextcheck // a batch outlives the context: its confirmations were taken
	})
	timer := time.NewTimer(m.all.every)
	defer timer.Stop()
	m.look(ctx)
	close(m.looked)
	for {
		every := m.all.every
		if !m.trusted() { // callers wait for it
			every /= 4
		}
		timer.Reset(every)
		select {
		case <-timer.C:
		case <-m.lookNow:
		case <-ctx.Done():
			return
		}
		if m.all.forget(m) {
			return
		}
		m.look(ctx)
	}
}

// admit returns ErrTooFewReplicas while too few replicas are known to be connected.
func (m *master) admit(ctx context.Context) error {
	select {
	case <-m.looked:
	case <-ctx.Done():
		return ctx.Err()
	case <-m.all.ctx.Done():
		return ErrClosed
	}
	if !m.trusted() {
		return ErrTooFewReplicas
	}
	return nil
}

// need returns how many replicas must hold a record.
func (m *master) need() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.needed()
}

// needed is need for a caller that holds the lock.
func (m *master) needed() int {
	if m.all.min != AllReplicas {
		return m.all.min
	}
	most := 1
	for _, seen := range m.online {
		most = max(most, seen.replicas)
	}
	return most
}

// look reads which replicas are connected, and whether they have all writes so far (WAIT): a
// replica that hangs is connected for a long time.
func (m *master) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.all.maxWait+m.all.every)
	defer cancel()
	state, err := m.learn(ctx)
	need, confirmed := m.need(), int64(0)
	if err == nil && state.Fresh >= need {
		pipe := m.server.Pipeline()
		pipe.Ping(ctx) // WAIT covers all writes before it
		waited := pipe.Do(ctx, "wait", need, m.all.maxWait.Milliseconds())
		_, _ = pipe.Exec(ctx) // each command has its own error
		confirmed, err = waited.Int64()
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	enough := err == nil && confirmed >= int64(need)
	m.mu.Lock()
	changed := m.refuses == enough
	m.refuses = !enough
	m.mu.Unlock()
	switch {
	case changed && enough:
		m.logs.Warn(m.all.conn.Log(), "enough replicas are connected, unsafe requests are accepted", "required", need, "connected", state.Online)
	case changed || rediserr.IsRefused(err):
		m.logs.Warn(m.all.conn.Log(), "too few replicas are connected, unsafe requests are refused", "required", need, "connected", state.Online,
			"confirmed", confirmed, "error", err)
	}
}

// learn reads which replicas are connected (INFO replication).
func (m *master) learn(ctx context.Context) (replicas.State, error) {
	text, err := m.server.Info(ctx, "replication").Result()
	if err != nil {
		return replicas.State{}, err
	}
	state := replicas.Of(text)
	if !state.Master {
		return state, errReplaced
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if state.History != m.state.History {
		m.online = nil
	}
	now := time.Now()
	m.online = slices.DeleteFunc(m.online, func(seen online) bool { return now.Sub(seen.at) > keptIntervals*m.all.every })
	m.online = append(m.online, online{now, state.Online})
	m.state = state
	return state, nil
}

// trusted reports whether enough replicas were connected at the last look.
func (m *master) trusted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.refuses
}

// refuse refuses requests until the next look, which follows at once.
func (m *master) refuse() {
	m.mu.Lock()
	m.refuses = true
	m.mu.Unlock()
	select {
	case m.lookNow <- struct{}{}:
	default: // one is due already
	}
}

// isCurrent reports whether a server that answered has the history of the master, by the
// client that follows failovers. A connection may still lead to a master that was replaced.
func (m *master) isCurrent(ctx context.Context, server replicas.State) bool {
	current := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return server.History == m.state.History
	}
	if server.Master && !current() {
		_, _ = m.learn(ctx) // after an error it is not current
	}
	return server.Master && current()
}

// flush confirms a batch: on one connection for all, unless the cluster has moved a service.
func (m *master) flush(p *resp.Pipeline, items []*confirmation) {
	ctx, cancel := context.WithTimeout(context.Background(), m.all.maxWait+m.all.conn.Timeout())
	defer cancel()
	groups := make(map[*resp.Conn][]*confirmation, 1)
	for _, c := range items {
		k, err := p.Conn(ctx, m.all.conn.Keys.Requests(c.service))
		if err != nil {
			m.all.again(c)
			continue
		}
		groups[k] = append(groups[k], c)
	}
	for k, group := range groups {
		err := m.confirm(ctx, k, group)
		if err == nil {
			continue
		}
		k.Drop()
		p.ReloadCluster(ctx)
		m.all.conn.Log().DebugContext(ctx, "outcomes are not confirmed yet", "error", err)
		for _, c := range group {
			m.all.again(c)
		}
	}
}

var errReplaced = errors.New("the server is not the master any more")

// confirm reads the records of a group and then waits for the replicas, on one connection:
// WAIT covers all writes before the reading. An error means that nobody was told.
func (m *master) confirm(ctx context.Context, k *resp.Conn, group []*confirmation) error {
	if !m.trusted() { // there may be another master, which needs less
		if _, err := m.learn(ctx); err != nil {
			return err
		}
	}
	asked := m.need()
	for _, c := range group {
		k.Out.Add(append([]string{"hmget", m.all.conn.Keys.Record(c.service, c.id)}, recordFields()...)...)
	}
	k.Out.Add("info", "replication")
	answers, confirmed, err := m.exchange(k, asked)
	if err != nil {
		return err
	}
	info, err := resp.Word(answers[len(group)])
	if err != nil {
		return err
	}
	server := replicas.Of(info)
	if !m.isCurrent(ctx, server) {
		return errReplaced
	}
	need := m.need() // that of a new master may differ
	if m.all.min == AllReplicas {
		need = max(need, server.Online)
	}
	if need > asked && confirmed < need {
		if _, confirmed, err = m.exchange(k, need); err != nil {
			return err
		}
	}
	if confirmed < need {
		m.logs.Warn(m.all.conn.Log(), "too few replicas confirmed an outcome, callers get a timeout", "required", need, "confirmed", confirmed)
		m.refuse()
	}
	for i, c := range group {
		m.tell(c, answers[i], confirmed >= need)
	}
	return nil
}

// exchange sends the commands in Out and WAIT, and returns the answers and the number of
// replicas that confirmed.
func (m *master) exchange(k *resp.Conn, need int) (answers []string, confirmed int, err error) {
	k.Out.Add("wait", strconv.Itoa(need), strconv.FormatInt(m.all.maxWait.Milliseconds(), 10))
	sent, timeout := k.Out.Len(), m.all.maxWait+m.all.conn.Timeout()
	err = k.Send(timeout)
	k.Out.Reset()
	if err == nil {
		answers, err = k.Receive(sent, timeout)
	}
	if err != nil {
		return nil, 0, err
	}
	n, err := resp.Number(answers[sent-1])
	return slices.Clone(answers), int(n), err
}

// tell ends a confirmation by the answer of HMGET.
func (m *master) tell(c *confirmation, answer string, replicated bool) {
	fields, err := resp.Words(answer)
	switch {
	case err != nil: // such as a redirection
		m.all.again(c)
	case replicated && c.holds(newRecord(fields, c.request).whenTooLarge(c.service)):
		c.done <- nil
	default:
		c.done <- ErrNotReplicated
	}
}
