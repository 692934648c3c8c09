package caller

import (
	"errors"
	"fmt"
	"time"
)

// What can keep an asker from getting an answer. Test with errors.Is.
var (
	// ErrUnavailable: Redis is away, and the request was not sent.
	ErrUnavailable = errors.New("the bus is not available")
	// ErrOverloaded: the mailbox or Redis' memory is full, or so many requests
	// wait that this one could not be answered in time; it was not accepted.
	ErrOverloaded = errors.New("the mailbox is full")
	// ErrTimeout: no answer came before the deadline; what became of the
	// request is not known.
	ErrTimeout = errors.New("no answer in time")
	// ErrExpired: the deadline passed before any worker began; it never ran.
	ErrExpired = errors.New("the request expired before it ran")
	// ErrCancelled: somebody cancelled the request before it ran.
	ErrCancelled = errors.New("the request was cancelled")
	// ErrDead: the request was given up and lies among the dead letters.
	ErrDead = errors.New("the request is a dead letter")
	// ErrKeyReused: another request was sent under the same ID.
	ErrKeyReused = errors.New("another request has this ID")
	// ErrReplyGone: a reply that was too long to publish is not stored any more.
	ErrReplyGone = errors.New("the stored reply is gone")
	// ErrClosed: this process is stopping.
	ErrClosed = errors.New("the bus client is closed")
)

// NotSentError says why a request was not sent; it is an ErrUnavailable.
type NotSentError struct{ Cause error }

func (e *NotSentError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause) }

// Is makes it an ErrUnavailable.
func (e *NotSentError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *NotSentError) Unwrap() error { return e.Cause }

// OverloadedError is an ErrOverloaded that says how long the mailbox is.
type OverloadedError struct {
	Service string
	// Waiting is how many requests wait; 0 where it is Redis' memory that is
	// nearly full.
	Waiting int64
	// Lane is the lane that is full, where it is not the mailbox.
	Lane string
	// Late says that there is room, but the request's turn would come after its
	// deadline.
	Late bool
	// RetryAfter is when trying again may help.
	RetryAfter time.Duration
}

func (e *OverloadedError) Error() string {
	if e.Waiting == 0 {
		return ErrOverloaded.Error() + ": Redis has hardly any memory left"
	}
	if e.Lane != "" {
		return fmt.Sprintf("the lane is full: %d requests wait in %s of %s", e.Waiting, e.Lane, e.Service)
	}
	if e.Late {
		return fmt.Sprintf("the deadline cannot be met: %d requests wait for %s", e.Waiting, e.Service)
	}
	return fmt.Sprintf("%v: %d requests wait for %s", ErrOverloaded, e.Waiting, e.Service)
}

// Is makes it an ErrOverloaded.
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }
