package exchange

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/oskadev/mailroom/bus/wire"
)

// Failure is an error that the gateway itself answers with, and its headers.
type Failure struct {
	*wire.Error

	Allow       string // header Allow
	Location    string // header Location
	Challenge   string // header WWW-Authenticate
	CacheDetail string // parameter detail of Cache-Status, on a cached route
	Close       bool   // close the connection: where its next request begins is unknown
}

// Fail returns a failure with a code, its status and a message.
func Fail(code wire.Code, message string) *Failure {
	return &Failure{Error: wire.NewError(code, message)}
}

// After sets the time after which a retry may help.
func (f *Failure) After(d time.Duration) *Failure {
	f.RetryAfter = d
	return f
}

// With sets the details.
func (f *Failure) With(details any) *Failure {
	f.Details = details
	return f
}

// At sets the path where the outcome of the request can be read.
func (f *Failure) At(location string) *Failure {
	f.Location = location
	return f
}

// Unavailable returns an UNAVAILABLE failure; a retry may help after a second.
func Unavailable(message string) *Failure {
	return Fail(wire.CodeUnavailable, message).After(time.Second)
}

// Problem is one detail of a BAD_REQUEST.
type Problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Bounds of what an answer repeats of a request.
const (
	maxField    = 128
	maxProblem  = 512
	maxProblems = 100
)

// Cut returns a text of at most so many bytes, and "..." in place of the rest.
func Cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max] + "..."
}

// BadRequest returns a BAD_REQUEST failure. Its message is the first problem, its details
// are all of them. It cuts long names and texts, and leaves out what is above 100 problems.
func BadRequest(problems ...Problem) *Failure {
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(slices.Clip(problems[:maxProblems]), Problem{Problem: strconv.Itoa(more) + " more problems are left out"})
	}
	for i := range problems {
		problems[i].Field, problems[i].Problem = Cut(problems[i].Field, maxField), Cut(problems[i].Problem, maxProblem)
	}
	message := "the request does not fit"
	if len(problems) > 0 {
		message = problems[0].Field + ": " + problems[0].Problem
	}
	return Fail(wire.CodeBadRequest, message).With(problems)
}

// Envelope returns the envelope of a failure as the answer to a request.
func (f *Failure) Envelope(in *Request) []byte {
	e := in.stamp()
	e.Code, e.Message, e.Status, e.Details = f.Code, f.Message, f.Status, f.Details
	return wire.Failure(&e)
}

// Seconds formats a duration in whole seconds, rounded up, at least 1.
func Seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
