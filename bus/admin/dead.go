package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// DeadLetter is a request that is not delivered any more.
type DeadLetter struct {
	// Entry is its stream entry among the dead letters.
	Entry string `json:"entry"`
	// Error is the reason.
	Error string `json:"error"`
	// Attempts is the number of its deliveries.
	Attempts int `json:"attempts"`
	// DeadAt is the time when the request became a dead letter, in Redis time.
	DeadAt time.Time `json:"dead_at"`
	// Fields are the fields of the request.
	Fields map[string]string `json:"fields"`
}

// RequestID returns the ID of the request; empty: it had none.
func (l *DeadLetter) RequestID() string { return l.Fields["id"] }

// ErrNoDeadLetter reports that a dead letter does not exist or no longer exists.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetters lists at most limit dead letters of a service from the oldest, after an
// entry; empty: from the first (XRANGE).
func DeadLetters(ctx context.Context, c *bus.Conn, service, after string, limit int64) ([]DeadLetter, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	found, err := c.Redis().XRangeN(ctx, c.Keys.Dead(service), start, "+", limit).Result()
	if err != nil {
		return nil, fmt.Errorf("list the dead letters of %s: %w", service, err)
	}
	return newDeadLetters(found), nil
}

// LatestDeadLetters lists at most limit dead letters of a service from the latest, before an
// entry; empty: from the last (XREVRANGE).
func LatestDeadLetters(ctx context.Context, c *bus.Conn, service, before string, limit int64) ([]DeadLetter, error) {
	end := "+"
	if before != "" {
		end = "(" + before
	}
	found, err := c.Redis().XRevRangeN(ctx, c.Keys.Dead(service), end, "-", limit).Result()
	if err != nil {
		return nil, fmt.Errorf("list the dead letters of %s: %w", service, err)
	}
	return newDeadLetters(found), nil
}

// DeadLetterAt returns the dead letter with an entry (XRANGE). Errors: ErrNoDeadLetter.
func DeadLetterAt(ctx context.Context, c *bus.Conn, service, entry string) (DeadLetter, error) {
	if wire.EntryTime(entry) == 0 {
		return DeadLetter{}, fmt.Errorf("%w: %.40q of %s", ErrNoDeadLetter, entry, service)
	}
	found, err := c.Redis().XRangeN(ctx, c.Keys.Dead(service), entry, entry, 1).Result()
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read the dead letter %s of %s: %w", entry, service, err)
	}
	if len(found) == 0 {
		return DeadLetter{}, fmt.Errorf("%w: %s of %s", ErrNoDeadLetter, entry, service)
	}
	return newDeadLetter(found[0].ID, found[0].Values), nil
}

func newDeadLetters(found []redis.XMessage) []DeadLetter {
	letters := make([]DeadLetter, len(found))
	for i, entry := range found {
		letters[i] = newDeadLetter(entry.ID, entry.Values)
	}
	return letters
}

func newDeadLetter(entry string, values map[string]any) DeadLetter {
	l := DeadLetter{Entry: entry, Fields: make(map[string]string, len(values))}
	for name, value := range values {
		text, _ := value.(string)
		switch name {
		case "error":
			l.Error = text
		case "attempts":
			l.Attempts, _ = strconv.Atoi(text) // 0 for an entry that was written by hand
		case "dead_at":
			ms, _ := strconv.ParseInt(text, 10, 64) // the same
			l.DeadAt = time.UnixMilli(ms).UTC()
		default:
			l.Fields[name] = text
		}
	}
	return l
}

// FindDeadLetter returns a dead letter by its entry or by its request's ID. Errors:
// ErrNoDeadLetter.
func FindDeadLetter(ctx context.Context, c *bus.Conn, service, name string) (DeadLetter, error) {
	after := ""
	for {
		const page = 500
		letters, err := DeadLetters(ctx, c, service, after, page)
		if err != nil {
			return DeadLetter{}, err
		}
		for _, l := range letters {
			if l.Entry == name || l.RequestID() == name {
				return l, nil
			}
			after = l.Entry
		}
		if len(letters) < page {
			return DeadLetter{}, fmt.Errorf("%w: %s of %s", ErrNoDeadLetter, name, service)
		}
	}
}

// The results of ReplayDeadLetter and DropDeadLetter.
const (
	LetterReplayed = "replayed" // it is in the mailbox again, under its ID, without a deadline
	LetterDone     = "done"     // it has an outcome: it was removed and does not run again
	LetterDropped  = "dropped"  // it was removed, and its ID is free
)

// ReplayDeadLetter puts a dead letter back into the mailbox under its ID, in one atomic
// step, unless its request has an outcome. Errors: ErrNoDeadLetter.
func ReplayDeadLetter(ctx context.Context, c *bus.Conn, service string, l DeadLetter) (string, error) {
	return handleLetter(ctx, c, "replay", service, l)
}

// DropDeadLetter removes a dead letter and frees its ID. Errors: ErrNoDeadLetter.
func DropDeadLetter(ctx context.Context, c *bus.Conn, service string, l DeadLetter) (string, error) {
	return handleLetter(ctx, c, "drop", service, l)
}

func handleLetter(ctx context.Context, c *bus.Conn, what, service string, l DeadLetter) (string, error) {
	id := l.RequestID()
	keys := []string{c.Keys.Requests(service), c.Keys.Dead(service), c.Keys.Record(service, id)}
	result, err := c.Scripts.Replay.Run(ctx, c.Redis(), keys, what, l.Entry, id)
	if err != nil {
		return "", fmt.Errorf("%s the dead letter %s of %s: %w", what, l.Entry, service, err)
	}
	pair, _ := result.([]any)
	if len(pair) != 2 {
		return "", fmt.Errorf("replay.lua returned %v", result)
	}
	outcome, _ := pair[0].(string)
	if outcome == "gone" {
		return "", fmt.Errorf("%w: %s of %s", ErrNoDeadLetter, l.Entry, service)
	}
	return outcome, nil
}
