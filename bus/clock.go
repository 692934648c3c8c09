package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxClockTrip is how long a look at Redis' clock may take to correct an offset
// that it does not contradict: half of it is the error of the offset.
const maxClockTrip = 100 * time.Millisecond

// Clock tells the time of Redis: all deadlines on the wire are in it, so that
// machines whose clocks differ agree.
type Clock struct {
	local  func() time.Time
	offset atomic.Int64 // nanoseconds that Redis is ahead of us
	known  atomic.Bool
}

// Now is the time of Redis as far as this process knows it.
func (c *Clock) Now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

// Local is the time of this process.
func (c *Clock) Local() time.Time { return c.local() }

// Known reports whether Redis has told its time.
func (c *Clock) Known() bool { return c.known.Load() }

// Millis is Now in unix milliseconds.
func (c *Clock) Millis() int64 { return c.Now().UnixMilli() }

// Offset is how far Redis' clock is ahead of this process's.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// measure asks Redis for its time (the command TIME) and corrects the offset.
func (c *Clock) measure(ctx context.Context, rdb redis.Cmdable) error {
	sent := c.local()
	redisTime, err := rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	c.Adjust(sent, c.local(), redisTime)
	return nil
}

// Adjust takes one reading: Redis showed its time somewhere between sent and
// received.
func (c *Clock) Adjust(sent, received, redisTime time.Time) {
	trip := received.Sub(sent)
	offset := redisTime.Sub(sent.Add(trip / 2))
	if c.known.Load() && trip > maxClockTrip && (offset-c.Offset()).Abs() <= trip/2 {
		return // it may be right as it is, and a slow look knows no better
	}
	c.offset.Store(int64(offset))
	c.known.Store(true)
}
