package caller

import (
	"errors"
	"fmt"
	"time"
)

// The reasons why a call has no reply. Test with errors.Is.
var (
	// ErrUnavailable: Redis is unreachable or refuses the process; the request was not sent.
	ErrUnavailable = errors.New("the bus is not available")
	// ErrTooFewReplicas: fewer replicas than required are connected; the request was not sent. It is an ErrUnavailable.
	ErrTooFewReplicas = fmt.Errorf("%w: too few replicas are connected", ErrUnavailable)
	// ErrMayEvict: Redis may delete requests when its memory is full; the request was not sent. It is an ErrUnavailable.
	ErrMayEvict = fmt.Errorf("%w: Redis may evict requests", ErrUnavailable)
	// ErrOverloaded: the request was not accepted; OverloadedError has the reason.
	ErrOverloaded = errors.New("the mailbox is full")
	// ErrStorageLimited: the request was not accepted; StorageLimitedError has the reason.
	ErrStorageLimited = errors.New("the principal stores too much")
	// ErrTimeout: no reply arrived before the deadline; the outcome is not known.
	ErrTimeout = errors.New("no answer in time")
	// ErrNotReplicated: too few replicas hold the outcome, a failover could lose it; it is an ErrTimeout.
	ErrNotReplicated = fmt.Errorf("%w: too few replicas have the outcome", ErrTimeout)
	// ErrExpired: the deadline passed before a worker began the request; it never ran.
	ErrExpired = errors.New("the request expired before it ran")
	// ErrCancelled: the request was cancelled before it ran.
	ErrCancelled = errors.New("the request was cancelled")
	// ErrDead: the request is a dead letter.
	ErrDead = errors.New("the request is a dead letter")
	// ErrKeyReused: another request has the same ID.
	ErrKeyReused = errors.New("another request has this ID")
	// errReplyGone: the reply was too long to publish and is no longer stored.
	errReplyGone = errors.New("the stored reply is gone")
	// ErrClosed: the client is closed.
	ErrClosed = errors.New("the bus client is closed")
	// ErrNoRecord: the request has no record: it never existed, was safe, or its outcome is no longer kept.
	ErrNoRecord = errors.New("no such request")
)

// notSentError is an ErrUnavailable with its cause.
type notSentError struct{ Cause error }

func (e *notSentError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause) }

// Is makes it an ErrUnavailable.
func (e *notSentError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *notSentError) Unwrap() error { return e.Cause }

// StorageLimitedError is an ErrStorageLimited: the requests and outcomes of the principal
// take all the bytes that it may store for the service.
type StorageLimitedError struct {
	Service string
	// RetryAfter is the time after which some of these bytes are free.
	RetryAfter time.Duration
}

func (e *StorageLimitedError) Error() string {
	return fmt.Sprintf("%v for %s", ErrStorageLimited, e.Service)
}

// Is makes it an ErrStorageLimited.
func (e *StorageLimitedError) Is(target error) bool { return target == ErrStorageLimited }

// OverloadedError is an ErrOverloaded with its reason: full memory, a full lane, a
// deadline that cannot be met, or a full mailbox.
type OverloadedError struct {
	Service string
	// Waiting is the number of waiting requests; 0: the memory of Redis is nearly full.
	Waiting int64
	// Lane is the full lane; empty: no lane is full.
	Lane string
	// Late reports that the mailbox has room, but a worker would begin the request only
	// after its deadline.
	Late bool
	// RetryAfter is the time after which a retry may succeed.
	RetryAfter time.Duration
}

func (e *OverloadedError) Error() string {
	if e.Waiting == 0 {
		return ErrOverloaded.Error() + ": the memory of Redis is nearly full"
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
