package bench

import "context"

// Target receives the load.
type Target interface {
	// Connect returns a connection. It may dial later, at the first request.
	Connect() Connection
	// String returns the name of the target, for people.
	String() string
}

// Connection sends one request after the other.
type Connection interface {
	// Do sends a request and waits for its answer. When the context ends, it returns
	// early with any answer.
	Do(ctx context.Context) Answer
	// Close ends the connection.
	Close()
}

// Answer is the result of one request.
type Answer struct {
	// Failure is the kind of failure, such as "status 503"; empty: success.
	Failure string
	// Detail describes the failure.
	Detail string
	// Bytes is the size of the answer.
	Bytes int
	// Unreached reports that the target was unreachable: a closed loop pauses before its
	// next request.
	Unreached bool
}
