package caller

import "github.com/oskadev/mailroom/internal/redismemory"

// storedLimits bound the bytes that requests and their outcomes take in Redis for one
// service. All 0: no limit.
type storedLimits struct {
	all   int64 // of all principals
	one   int64 // of one principal, if others store too
	alone int64 // of one principal, if no other stores
}

// Shares of the limit and of maxmemory.
const (
	// storedShare is the default of the limit, as a share of maxmemory.
	storedShare = 0.4
	// From tightShare of maxmemory the limits of one principal shrink, and at
	// tightestShare they are leastStored. The memory between there and maxMemoryShare is for
	// principals that store less.
	tightShare    = 0.6
	tightestShare = 0.7
	leastStored   = 256 << 10
)

// newStoredLimits returns the limits at a use of memory. A limit of 0 depends on maxmemory; a
// negative one is none.
func newStoredLimits(limit int64, memory redismemory.Memory) storedLimits {
	if limit == 0 {
		limit = int64(storedShare * float64(memory.Most))
	}
	if limit <= 0 {
		return storedLimits{}
	}
	l := storedLimits{all: limit + limit/10, one: limit / 4, alone: limit}
	if memory.Most > 0 {
		used := float64(memory.Used) / float64(memory.Most)
		left := min(1, max(0, (tightestShare-used)/(tightestShare-tightShare)))
		l.one = max(leastStored, int64(left*float64(l.one)))
		l.alone = max(leastStored, int64(left*float64(l.alone)))
	}
	return l
}
