package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxClockTrip is the longest round trip of a reading that may correct a compatible
// offset: half the trip is the error of the reading.
const maxClockTrip = 100 * time.Millisecond

// Clock tells the time of Redis. All deadlines on the wire are in Redis time, so that
// machines with different clocks agree.
type Clock struct {
	local  func() time.Time
	offset atomic.Int64 // nanoseconds that Redis is ahead of this process
	known  atomic.Bool
}

// Now returns the time of Redis as this process knows it.
func (c *Clock) Now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

// Local returns the time of this process.
func (c *Clock) Local() time.Time { return c.local() }

// Known reports whether the clock of Redis has been read.
func (c *Clock) Known() bool { return c.known.Load() }

// Millis returns Now in unix milliseconds.
func (c *Clock) Millis() int64 { return c.Now().UnixMilli() }

// ahead returns how far the clock of Redis is ahead of this process's.
func (c *Clock) ahead() time.Duration { return time.Duration(c.offset.Load()) }

// measure reads the clock of Redis (TIME) and corrects the offset.
func (c *Clock) measure(ctx context.Context, rdb redis.Cmdable) error {
	sent := c.local()
	redisTime, err := rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	c.Adjust(sent, c.local(), redisTime)
	return nil
}

// Adjust applies one reading: Redis read its clock between sent and received.
func (c *Clock) Adjust(sent, received, redisTime time.Time) {
	trip := received.Sub(sent)
	offset := redisTime.Sub(sent.Add(trip / 2))
	if c.known.Load() && trip > maxClockTrip && (offset-c.ahead()).Abs() <= trip/2 {
		return // a slow reading cannot improve a compatible offset
	}
	c.offset.Store(int64(offset))
	c.known.Store(true)
}
