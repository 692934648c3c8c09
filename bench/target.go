package bench

import "context"

// Target is what is put under load.
type Target interface {
	// Connect prepares one connection. It reaches nobody yet.
	Connect() Connection
	// String names the target for people.
	String() string
}

// Connection asks one request after the other.
type Connection interface {
	// Ask sends a request and waits for its answer. It ends early, with any
	// answer, when the context does.
	Ask(ctx context.Context) Answer
	// Close ends the connection.
	Close()
}

// Answer is what became of one request.
type Answer struct {
	// Failure names the kind of failure, such as "status 503"; empty: the
	// request was answered well.
	Failure string
	// Detail says more about a failure.
	Detail string
	// Bytes is the size of the answer.
	Bytes int
	// Unreached says that nobody was there to answer: a closed loop pauses
	// before it asks again.
	Unreached bool
}
