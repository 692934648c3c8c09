package cache

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/token"
	"github.com/oskadev/mailroom/testsupport"
)

// access is one operation on the value.
type access struct {
	kind  string // read, store (in the service's database) or invalidate
	value int64
}

// visible holds the values that a read may return: the present one of the database, and
// those since the end of the last invalidation.
type visible struct {
	current int64
	values  string // ",1,2,"
}

func listed(value int64) string { return "," + strconv.FormatInt(value, 10) + "," }

func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return visible{values: listed(0)} },
		Step: func(state, input, output any) (bool, any) {
			v, a := state.(visible), input.(access)
			switch a.kind {
			case "store":
				return true, visible{a.value, v.values + listed(a.value)}
			case "invalidate":
				return true, visible{v.current, listed(v.current)}
			default:
				return strings.Contains(v.values, listed(output.(int64))), v
			}
		},
	}
}

// scenario is one value that clients read and write at the same time through several
// gateways.
type scenario struct {
	s       *fixture
	query   *Query
	value   atomic.Int64 // in the service's database
	began   time.Time
	mu      sync.Mutex
	history []porcupine.Operation
}

// delay lets other goroutines run in between.
func delay(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		runtime.Gosched()
	case 1:
		<-time.After(time.Duration(r.IntN(300)) * time.Microsecond)
	case 2:
		<-time.After(time.Duration(r.IntN(1500)) * time.Microsecond)
	}
}

// must fails the test on an error; any goroutine may call it.
func (x *scenario) must(err error) bool {
	if err != nil {
		x.s.t.Error(err)
	}
	return err == nil
}

func (x *scenario) record(client int, in access, do func() int64) {
	call := time.Since(x.began)
	out := do()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.history = append(x.history, porcupine.Operation{
		ClientId: client, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(x.began)),
	})
}

func (x *scenario) read(client int, r *rand.Rand, c *Cache) {
	delays := rand.New(rand.NewPCG(r.Uint64(), 1))
	x.record(client, access{kind: "read"}, func() int64 {
		q := *x.query
		q.Refresh = r.IntN(8) == 0
		a, err := c.Do(x.s.t.Context(), &q, func(context.Context) Outcome {
			delay(delays)
			value := x.value.Load()
			delay(delays)
			return Outcome{Value: strconv.FormatInt(value, 10), Store: true}
		})
		x.must(err)
		n, err := strconv.ParseInt(a.Value, 10, 64)
		x.must(err)
		return n
	})
}

// write changes the value as a worker does, and drops local entries as a gateway does.
func (x *scenario) write(client int, r *rand.Rand, c *Cache, value int64) {
	x.record(client, access{"store", value}, func() int64 {
		x.value.Store(value)
		return 0
	})
	delay(r)
	x.record(client, access{"invalidate", value}, func() int64 {
		x.must(x.s.inv.Invalidate(x.s.t.Context(), x.query.Space, x.query.Tags...))
		delay(r)
		c.Drop(x.query.Space, x.query.Tags...)
		return 0
	})
}

// dyingLeader takes the lease and dies, or stores its outcome too late.
func (x *scenario) dyingLeader(r *rand.Rand, c *Cache) {
	ctx := x.s.t.Context()
	epoch, err := c.epochs.of(ctx, x.query.Space)
	x.must(err)
	digest := x.query.digest(epoch)
	id := token.New(token.NameBytes)
	answer, err := c.pipe.scripts.lookup.Run(ctx, x.s.rdb, c.keys.lookup(x.query, digest), id, 30, "nobody", 0, 60_000, modeLook)
	found, _ := answer.([]any)
	if !x.must(err) || found[0] != "lead" {
		return
	}
	value := x.value.Load()
	if r.IntN(2) == 0 {
		return
	}
	<-time.After(time.Duration(r.IntN(60)) * time.Millisecond)
	_, err = c.pipe.scripts.fill.Run(ctx, x.s.rdb, c.keys.lookup(x.query, digest), id, found[1], 60_000,
		strconv.FormatInt(value, 10), digest+" "+found[1].(string)+" "+id+" - "+strconv.Itoa(len(strconv.FormatInt(value, 10)))+"\n", maxPublished, modeLook)
	x.must(err)
}

// run plays one scenario. The seed determines the operations and their delays.
func (x *scenario) run(seed uint64, gateways []*Cache) bool {
	r := rand.New(rand.NewPCG(seed, 0))
	var acting sync.WaitGroup
	for client := range 2 + r.IntN(3) {
		mine := rand.New(rand.NewPCG(seed, uint64(client)+1))
		acting.Go(func() {
			for n := range 1 + mine.IntN(4) {
				delay(mine)
				switch kind := mine.IntN(20); {
				case kind == 0:
					x.dyingLeader(mine, gateways[1])
				case kind < 7: // writers use the first gateway, which keeps local entries
					x.write(client, mine, gateways[0], int64(client+1)*1000+int64(n))
				default:
					x.read(client, mine, gateways[mine.IntN(len(gateways))])
				}
			}
		})
	}
	acting.Wait()
	return porcupine.CheckOperations(model(), x.history)
}

// TestNoStaleAnswers interleaves reads, writes, delays and deaths of leaders at random.
// No history may hold an answer that was stale when the read began.
// MAILROOM_INTERLEAVINGS sets the number of scenarios, MAILROOM_SEED the first seed.
func TestNoStaleAnswers(t *testing.T) {
	t.Parallel()
	number := func(name string, or uint64) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			return or
		}
		return n
	}
	many, seed := number("MAILROOM_INTERLEAVINGS", 1000), number("MAILROOM_SEED", uint64(time.Now().UnixNano()))
	s := newFixture(t, testsupport.StartRedis(t).URL())
	quick := func(c *Config) { c.Lease = 30 * time.Millisecond }
	gateways := []*Cache{s.cache(quick, withLocal), s.cache(quick), s.cache(quick)}
	var next atomic.Uint64
	var running sync.WaitGroup
	for range 32 {
		running.Go(func() {
			for {
				n := next.Add(1)
				if n > many || t.Failed() {
					return
				}
				x := &scenario{s: s, query: query(strconv.FormatUint(n, 10)), began: time.Now()}
				if !x.run(seed+n, gateways) {
					t.Errorf("seed %d: a stale answer: %+v", seed+n, x.history)
				}
			}
		})
	}
	running.Wait()
	var answers uint64
	for source, n := range gateways[0].Stats().Answers {
		answers += n
		t.Log(source, n)
	}
	require.Positive(t, answers)
}
