package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/replicas"
)

// epochInterval is the time between two looks at the servers.
const epochInterval = 500 * time.Millisecond

// epochs knows the epoch of each space: the history (master_replid) of the server that holds
// it. The digest of a query includes the epoch, so that an entry of another epoch is never
// found. A server that became the master, or was restarted, may lack the invalidations of the
// last moment, and has a new history.
//
// After a failure of any command, all epochs are read again before they are used: the next
// command may reach another server. A failover without a failure is found by the look every
// epochInterval.
type epochs struct {
	server  func(ctx context.Context, space string) (redis.Cmdable, error)
	timeout time.Duration
	rest    time.Duration // the time for which Redis is not asked after a failure
	changed func(spaces []string)

	known    atomic.Pointer[map[string]string] // by space
	suspects atomic.Uint64                     // calls of suspect

	mu      sync.Mutex
	last    map[string]string // of every space that was used
	failure error             // of the last look; nil: Redis answered
	until   time.Time         // the failure is the answer until then
}

// newEpochs returns the epochs of spaces on a Redis. changed is called with the spaces
// that have another epoch than before.
func newEpochs(rdb redis.Cmdable, cfg *Config, changed func(spaces []string)) *epochs {
	e := &epochs{
		server:  func(context.Context, string) (redis.Cmdable, error) { return rdb, nil },
		timeout: cfg.Timeout, rest: cfg.Away, changed: changed, last: make(map[string]string),
	}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		keys := keys{cfg.Namespace}
		e.server = func(ctx context.Context, space string) (redis.Cmdable, error) {
			return cluster.MasterForKey(ctx, keys.tag(space, ""))
		}
	}
	e.known.Store(&map[string]string{})
	return e
}

// of returns the epoch of a space. It asks Redis only if the epoch is not known.
func (e *epochs) of(ctx context.Context, space string) (string, error) {
	if epoch, known := (*e.known.Load())[space]; known {
		return epoch, nil
	}
	e.mu.Lock()
	epoch, known := (*e.known.Load())[space]
	err := e.failure
	if known || err != nil && time.Now().Before(e.until) { // another query has asked
		e.mu.Unlock()
		if known {
			return epoch, nil
		}
		return "", err
	}
	changes, err := e.look(ctx, []string{space})
	epoch = e.last[space]
	e.mu.Unlock()
	e.tell(changes)
	return epoch, err
}

// tell calls changed without the lock.
func (e *epochs) tell(changes []string) {
	if len(changes) > 0 {
		e.changed(changes)
	}
}

// suspect has every epoch read again before it is used.
func (e *epochs) suspect() {
	e.suspects.Add(1)
	e.known.Store(&map[string]string{})
}

// run looks at the servers of all spaces until the context ends.
func (e *epochs) run(ctx context.Context) {
	for backoff.Pause(ctx, epochInterval) == nil {
		e.mu.Lock()
		spaces := make([]string, 0, len(e.last))
		for space := range e.last {
			spaces = append(spaces, space)
		}
		changes, _ := e.look(ctx, spaces) // the spaces of a server that does not answer are not known
		e.mu.Unlock()
		e.tell(changes)
	}
}

// look reads the epochs of spaces (INFO replication), once for each server, and returns the
// spaces whose epoch has changed. Its caller holds the lock.
func (e *epochs) look(ctx context.Context, spaces []string) (changes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	before := e.suspects.Load()
	found, err := e.ask(ctx, spaces)
	known := maps.Clone(*e.known.Load())
	for _, space := range spaces {
		delete(known, space)
		epoch, answered := found[space]
		if !answered {
			continue
		}
		if last, used := e.last[space]; used && last != epoch {
			changes = append(changes, space)
		}
		known[space], e.last[space] = epoch, epoch
	}
	if e.suspects.Load() != before {
		clear(known)
		err = errors.Join(err, errSuspected)
	}
	e.known.Store(&known)
	if e.failure, e.until = err, time.Now().Add(e.rest); err != nil {
		return changes, fmt.Errorf("read the epoch of the cache: %w", err)
	}
	return changes, nil
}

// ask returns the epochs of the spaces whose servers answer, and the error of another one.
func (e *epochs) ask(ctx context.Context, spaces []string) (found map[string]string, err error) {
	servers := make(map[redis.Cmdable][]string, 1)
	for _, space := range spaces {
		server, failed := e.server(ctx, space)
		if failed != nil {
			err = failed
			continue
		}
		servers[server] = append(servers[server], space)
	}
	found = make(map[string]string, len(spaces))
	var mu sync.Mutex
	var asking sync.WaitGroup
	for server, held := range servers {
		asking.Go(func() {
			epoch, failed := epochOf(ctx, server)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = failed
				return
			}
			for _, space := range held {
				found[space] = epoch
			}
		})
	}
	asking.Wait()
	return found, err
}

var (
	errSuspected = errors.New("a command failed meanwhile")
	errReplica   = errors.New("the server is a replica")
)

// epochOf returns the history of a server; empty: the server does not know or tell it.
func epochOf(ctx context.Context, server redis.Cmdable) (string, error) {
	text, err := server.Info(ctx, "replication").Result()
	switch {
	case rediserr.IsServer(err): // miniredis, or a user without the right
		return "", nil
	case err != nil:
		return "", err
	}
	state := replicas.Of(text)
	if !state.Master && state.History != "" {
		return "", errReplica
	}
	return state.History[:min(len(state.History), epochDigits)], nil
}

// epochDigits is the length of an epoch: enough to tell it from all others.
const epochDigits = 16
