package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
	"github.com/oskadev/mailroom/internal/token"
)

const (
	// quiet is the time without a message after which Redis is pinged.
	quiet = 5 * time.Second
	// refusedWait is the time between two tries if Redis refuses the user.
	refusedWait = 2 * time.Second
)

// subscription receives the outcomes that this process waits for, and the
// invalidations. A lost message costs time, and never a correct answer: the local
// entries are dropped when the subscription was interrupted.
type subscription struct {
	open    func(ctx context.Context) pubsub // does not talk to Redis yet
	keys    keys
	log     *slog.Logger
	channel string // of outcomes
	local   *local
	handed  func(payload string)
	dropped func(space string, tags []string)
	gap     func()
	hears   atomic.Bool // invalidations arrive
}

// pubsub is a *redis.PubSub.
type pubsub interface {
	Subscribe(ctx context.Context, channels ...string) error
	PSubscribe(ctx context.Context, patterns ...string) error
	Ping(ctx context.Context, payload ...string) error
	ReceiveTimeout(ctx context.Context, timeout time.Duration) (any, error)
	Close() error
}

// newSubscription returns a subscription that passes outcomes to handed.
func newSubscription(open func(context.Context) pubsub, cfg *Config, local *local, handed func(payload string)) *subscription {
	keys := keys{cfg.Namespace}
	return &subscription{
		open: open, keys: keys, log: cfg.Logger, local: local, handed: handed, dropped: cfg.OnDropped, gap: cfg.OnGap,
		channel: keys.flights(token.New(token.NameBytes)),
	}
}

// run receives messages until the context ends.
func (s *subscription) run(ctx context.Context) {
	waits := backoff.New(50*time.Millisecond, time.Second)
	refusals := 0 // in a row
	for ctx.Err() == nil {
		err := s.session(ctx, waits)
		s.hears.Store(false)
		s.local.clear()
		if ctx.Err() != nil {
			return
		}
		wait := waits.Next()
		if rediserr.IsRefused(err) {
			refusals++
			wait = refusedWait
		} else {
			refusals = 0
		}
		// A refusal persists and is logged once. The first one is not logged, because it
		// ends most processes anyway.
		if refusals == 0 || refusals == 2 {
			s.log.WarnContext(ctx, "the cache does not receive invalidations, subscribing again", "error", err, "retry_in", wait)
		}
		_ = backoff.Pause(ctx, wait) // the loop looks at the context
	}
}

func (s *subscription) session(ctx context.Context, waits *backoff.Backoff) error {
	pubsub := s.open(ctx)
	// A blocked read does not notice that the context ended, but that the connection
	// was closed.
	unwatch := context.AfterFunc(ctx, func() { _ = pubsub.Close() })
	defer func() {
		unwatch()
		_ = pubsub.Close()
	}()
	if err := pubsub.Subscribe(ctx, s.channel); err != nil {
		return err
	}
	if err := pubsub.PSubscribe(ctx, s.keys.droppedPattern()); err != nil {
		return err
	}
	awaited, pinged := 2, false
	for {
		received, err := pubsub.ReceiveTimeout(ctx, quiet)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() && !pinged && awaited <= 0 {
			pinged = true
			err = pubsub.Ping(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		pinged = false
		switch m := received.(type) {
		case *redis.Subscription:
			if !strings.HasSuffix(m.Kind, "subscribe") || strings.Contains(m.Kind, "un") {
				return fmt.Errorf("unexpected %s of %s", m.Kind, m.Channel)
			}
			if awaited--; awaited == 0 {
				waits.Reset()
				s.local.clear() // earlier invalidations were not received
				s.hears.Store(true)
				s.gap()
			}
		case *redis.Message:
			if m.Channel == s.channel {
				s.handed(m.Payload)
			} else {
				space, tags := s.keys.droppedSpace(m.Channel), strings.Fields(m.Payload)
				s.local.drop(space, tags)
				s.dropped(space, tags)
			}
		}
	}
}

// message hands an outcome to the processes that wait for it. The first line names
// digest, nonces, token, "broken" or "-", and the size of the value; the value
// follows, unless it is too long to publish.
type message struct {
	digest, nonces, token string
	broken                bool
	size                  int
	value                 string
}

var errMessage = errors.New("the first line is not that of an outcome")

// head returns the first line of the message about an outcome.
func (l *lease) head(o Outcome) string {
	broken := "-"
	if o.Broken {
		broken = "broken"
	}
	return l.digest + " " + l.nonces + " " + l.token + " " + broken + " " + strconv.Itoa(len(o.Value)) + "\n"
}

func parseMessage(payload string) (message, error) {
	head, value, _ := strings.Cut(payload, "\n")
	fields := strings.Fields(head)
	if len(fields) != 5 {
		return message{}, errMessage
	}
	size, err := strconv.Atoi(fields[4])
	if err != nil {
		return message{}, errMessage
	}
	return message{digest: fields[0], nonces: fields[1], token: fields[2], broken: fields[3] == "broken", size: size, value: value}, nil
}
