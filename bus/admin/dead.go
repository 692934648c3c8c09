package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oskadev/mailroom/bus"
)

// DeadLetter is a request that was given up.
type DeadLetter struct {
	// Entry is its place among the dead letters: what it is called by.
	Entry string `json:"entry"`
	// Error says why it was given up.
	Error string `json:"error"`
	// Attempts is how often it was delivered.
	Attempts int `json:"attempts"`
	// DeadAt is when it was given up, Redis time.
	DeadAt time.Time `json:"dead_at"`
	// Fields are those of its stream entry, as they were.
	Fields map[string]string `json:"fields"`
}

// RequestID is the ID of the request; empty when it had none.
func (l *DeadLetter) RequestID() string { return l.Fields["id"] }

// ErrNoDeadLetter says that there is no such dead letter (any more).
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetters lists the dead letters of a service from the oldest, at most so
// many, behind one of them; empty: from the beginning (XRANGE).
func DeadLetters(ctx context.Context, c *bus.Conn, service, after string, most int64) ([]DeadLetter, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	found, err := c.Redis().XRangeN(ctx, c.Keys.Dead(service), start, "+", most).Result()
	if err != nil {
		return nil, fmt.Errorf("list the dead letters of %s: %w", service, err)
	}
	letters := make([]DeadLetter, len(found))
	for i, entry := range found {
		letters[i] = newDeadLetter(entry.ID, entry.Values)
	}
	return letters, nil
}

func newDeadLetter(entry string, values map[string]any) DeadLetter {
	l := DeadLetter{Entry: entry, Fields: make(map[string]string, len(values))}
	for name, value := range values {
		text, _ := value.(string)
		switch name {
		case "error":
			l.Error = text
		case "attempts":
			l.Attempts, _ = strconv.Atoi(text) // ours; 0 where somebody wrote it by hand
		case "dead_at":
			ms, _ := strconv.ParseInt(text, 10, 64) // likewise
			l.DeadAt = time.UnixMilli(ms).UTC()
		default:
			l.Fields[name] = text
		}
	}
	return l
}

// FindDeadLetter finds a dead letter by its entry or by its request's ID.
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

// What became of a dead letter.
const (
	LetterReplayed = "replayed" // it is in the mailbox again, under its ID, without a deadline
	LetterDone     = "done"     // there is an outcome: it was removed and does not run again
	LetterDropped  = "dropped"  // it was removed, and its ID is free
)

// ReplayDeadLetter sends a dead letter again under its ID, unless its request
// has an outcome. One step: it is never in both places or in none.
func ReplayDeadLetter(ctx context.Context, c *bus.Conn, service string, l DeadLetter) (string, error) {
	return handleLetter(ctx, c, "replay", service, l)
}

// DropDeadLetter removes a dead letter for good, and frees its ID.
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
		return "", fmt.Errorf("replay.lua gave %v", result)
	}
	became, _ := pair[0].(string)
	if became == "gone" {
		return "", fmt.Errorf("%w: %s of %s", ErrNoDeadLetter, l.Entry, service)
	}
	return became, nil
}
