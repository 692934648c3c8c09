package frames

import (
	"strconv"
	"time"
)

// Reason is why Mailroom closes a connection.
type Reason string

// The reasons.
const (
	Invalid         Reason = "invalid"         // a message that is no frame, or a faulty manifest
	Unauthenticated Reason = "unauthenticated" // no valid credential
	Forbidden       Reason = "forbidden"       // the credential lacks the scope
	Slow            Reason = "slow"            // the peer does not read, or has a stuck run
	Flood           Reason = "flood"           // far more requests in flight than allowed
	Drain           Reason = "drain"           // Mailroom stops
	Unavailable     Reason = "unavailable"     // Mailroom cannot serve the peer at present
)

// CloseCode returns the status code that closes a WebSocket
// (https://www.rfc-editor.org/rfc/rfc6455#section-7.4).
func (r Reason) CloseCode() int {
	switch r {
	case Unauthenticated:
		return 4401
	case Forbidden:
		return 4403
	case Slow:
		return 4408
	case Flood:
		return 4409
	case Drain:
		return 1001
	case Unavailable:
		return 1013
	default:
		return 4400
	}
}

// Bye is the last frame of a connection, and the error that ends it.
type Bye struct { //nolint:errname // it is a frame first
	Reason Reason
	// Message says what is wrong; empty: nothing is.
	Message string
	// Retry is the time after which the peer may connect again; 0: it should not.
	Retry time.Duration
}

// Error returns the message.
func (b *Bye) Error() string { return string(b.Reason) + ": " + b.Message }

// Append appends the frame.
func (b *Bye) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"bye":{"reason":`...), string(b.Reason))
	if b.Message != "" {
		dst = appendString(append(dst, `,"message":`...), b.Message)
	}
	if b.Retry > 0 {
		dst = strconv.AppendInt(append(dst, `,"retry":`...), b.Retry.Milliseconds(), 10)
	}
	return append(dst, "}}"...)
}
