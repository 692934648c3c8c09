package exchange

import (
	"strconv"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// failure is an error that the gateway itself answers with, and its headers.
type Failure struct {
	*wire.Error

	Allow       string // header Allow
	Location    string // header Location
	Challenge   string // header WWW-Authenticate
	CacheDetail string // of a cached route: why the cache gave no answer
	Close       bool   // close the connection: its next bytes are unknown
}

func Fail(code wire.Code, message string) *Failure {
	return &Failure{Error: wire.NewError(code, message)}
}

// after sets when a retry may help.
func (f *Failure) After(d time.Duration) *Failure {
	f.RetryAfter = d
	return f
}

// with sets the details.
func (f *Failure) With(details any) *Failure {
	f.Details = details
	return f
}

// at sets where to learn the outcome of the request.
func (f *Failure) At(location string) *Failure {
	f.Location = location
	return f
}

func Unavailable(message string) *Failure {
	return Fail(wire.CodeUnavailable, message).After(time.Second)
}

// problem is one detail of a BAD_REQUEST.
type Problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

func BadRequest(problems ...Problem) *Failure {
	message := "the request does not fit"
	if len(problems) > 0 {
		message = problems[0].Field + ": " + problems[0].Problem
	}
	return Fail(wire.CodeBadRequest, message).With(problems)
}

// seconds writes a duration for Retry-After, rounded up to at least one.
func Seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
