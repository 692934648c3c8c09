package faults

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/testsupport"
)

// fault causes one fault, which is over when the function returns.
type fault struct {
	name string
	do   func(s *stage, lines *lines)
}

// lines are the proxies before Redis.
type lines struct{ gateway, worker *testsupport.Proxy }

// faults returns all faults that lose no data. They never end the first worker and the first
// gateway, whose memory and goroutines show leaks.
func faults() []fault {
	frozen := func(p *process, d time.Duration, s *stage) {
		p.freeze()
		s.pass(d)
		p.thaw()
	}
	dropped := func(line *testsupport.Proxy, match string) {
		select {
		case <-line.DropNextReply(match):
		case <-time.After(2 * time.Second): // no such command was sent; a later one is lost
		}
	}
	return []fault{
		{"worker killed", func(s *stage, _ *lines) { s.replace(1, (*process).Kill) }},
		{"worker stopped", func(s *stage, _ *lines) { s.replace(1, (*process).terminate) }},
		{"worker frozen", func(s *stage, _ *lines) {
			frozen(s.workers[s.rng.IntN(len(s.workers))], s.between(0, 3*time.Second), s)
		}},
		{"gateway killed", func(s *stage, _ *lines) { s.replaceGateway(1, (*process).Kill) }},
		{"gateway stopped", func(s *stage, _ *lines) { s.replaceGateway(1, (*process).terminate) }},
		{"gateway frozen", func(s *stage, _ *lines) { frozen(s.gateways[s.rng.IntN(2)], s.between(0, 3*time.Second), s) }},
		{"Redis killed", func(s *stage, _ *lines) {
			s.redis.Kill()
			s.pass(s.between(0, time.Second))
			s.redis.Restart()
		}},
		{"Redis frozen", func(s *stage, _ *lines) {
			s.redis.Freeze()
			s.pass(s.between(0, 3*time.Second))
			s.redis.Thaw()
		}},
		{"scripts flushed", func(s *stage, _ *lines) { s.redis.Do("SCRIPT", "FLUSH") }},
		{"subscribers killed", func(s *stage, _ *lines) { s.redis.Do("CLIENT", "KILL", "TYPE", "pubsub") }},
		{"memory full", func(s *stage, _ *lines) {
			s.redis.Do("CONFIG", "SET", "maxmemory", "1")
			s.pass(s.between(0, time.Second))
			s.redis.Do("CONFIG", "SET", "maxmemory", "0")
		}},
		{"gateways cut", func(_ *stage, l *lines) { l.gateway.Cut() }},
		{"workers cut", func(_ *stage, l *lines) { l.worker.Cut() }},
		{"gateways deaf", func(s *stage, l *lines) {
			l.gateway.BlackholeReplies(true)
			s.pass(s.between(0, 4*time.Second))
			l.gateway.BlackholeReplies(false)
		}},
		{"answer to an enqueue lost", func(s *stage, l *lines) { dropped(l.gateway, []string{"xadd", "fcall"}[s.rng.IntN(2)]) }},
		{"answer to a read lost", func(_ *stage, l *lines) { dropped(l.worker, "xreadgroup") }},
		{"answer to a settle lost", func(s *stage, l *lines) { dropped(l.worker, []string{"xdel", "fcall"}[s.rng.IntN(2)]) }},
	}
}

// replace ends one of the workers from this index on, and starts another.
func (s *stage) replace(from int, end func(*process)) {
	s.t.Helper()
	i := from + s.rng.IntN(len(s.workers)-from)
	end(s.workers[i])
	s.workers[i] = s.worker()
}

func (s *stage) replaceGateway(i int, end func(*process)) {
	s.t.Helper()
	end(s.gateways[i])
	s.gateways[i] = s.gateway(i)
	s.serves(i)
}

// TestAtRandom is the long form: random faults. Each minute it checks the ledger and prints
// the totals.
func TestAtRandom(t *testing.T) {
	t.Parallel()
	if form() != long {
		t.Skip("MAILROOM_FAULTS=long runs it")
	}
	minutes := 60
	if n, err := strconv.Atoi(os.Getenv("MAILROOM_FAULTS_MINUTES")); err == nil {
		minutes = n
	}
	var l lines
	s := newStage(t, setting{gateways: 2, workers: 3, gatewayURL: proxied(t, &l.gateway), workerURL: proxied(t, &l.worker)})
	var held [2]growth // of the first worker and the first gateway
	for minute := range minutes {
		stop := s.load(8, func(rng *rand.Rand) work { return work{MS: rng.IntN(100), Pad: rng.IntN(2000)} })
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			f := faults()[s.rng.IntN(len(faults()))]
			t.Logf("minute %d: %s", minute+1, f.name)
			f.do(s, &l)
			s.fault()
			s.works(10)
		}
		stop()
		s.quiet()
		s.pass(2 * time.Second) // both processes report their memory
		for i, p := range []*process{s.workers[0], s.gateways[0]} {
			held[i].add(t, p, s.ledger.read(t))
		}
		s.check("minute "+strconv.Itoa(minute+1), false)
		if t.Failed() {
			return // later faults tell nothing more
		}
	}
}

// growth records the memory and the goroutines of a process, minute by minute.
type growth struct{ goroutines, kilobytes []int }

// add records the present state, and compares it with the second minute, when all
// initialization is complete.
func (g *growth) add(t *testing.T, p *process, events []event) {
	t.Helper()
	for _, e := range slices.Backward(events) {
		if e.what == "stat" && e.pid == p.PID() {
			kilobytes, _ := strconv.Atoi(e.id)
			g.goroutines, g.kilobytes = append(g.goroutines, e.attempt), append(g.kilobytes, kilobytes)
			break
		}
	}
	last := len(g.goroutines) - 1
	if last < 0 {
		assert.Fail(t, "a process does not tell what it holds", p.Name)
		return
	}
	t.Logf("%s: %d goroutines, %d KB resident", p.Name, g.goroutines[last], g.kilobytes[last])
	if last > 1 {
		assert.LessOrEqual(t, g.goroutines[last], g.goroutines[1]+100, "goroutines of the %s", p.Name)
		assert.LessOrEqual(t, g.kilobytes[last], 2*g.kilobytes[1]+32<<10, "resident memory of the %s in KB", p.Name)
	}
}
