package api

import (
	"strconv"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

// failure is an error that the gateway itself answers with, and its headers.
type failure struct {
	*wire.Error

	allow       string // header Allow
	location    string // header Location
	challenge   string // header WWW-Authenticate
	cacheDetail string // of a cached route: why the cache gave no answer
	closeAfter  bool   // close the connection: its next bytes are unknown
}

func fail(code wire.Code, message string) *failure {
	return &failure{Error: wire.NewError(code, message)}
}

// after sets when a retry may help.
func (f *failure) after(d time.Duration) *failure {
	f.RetryAfter = d
	return f
}

// with sets the details.
func (f *failure) with(details any) *failure {
	f.Details = details
	return f
}

// at sets where to learn the outcome of the request.
func (f *failure) at(location string) *failure {
	f.location = location
	return f
}

func unavailable(message string) *failure {
	return fail(wire.CodeUnavailable, message).after(time.Second)
}

// problem is one detail of a BAD_REQUEST.
type problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

func badRequest(problems ...problem) *failure {
	message := "the request does not fit"
	if len(problems) > 0 {
		message = problems[0].Field + ": " + problems[0].Problem
	}
	return fail(wire.CodeBadRequest, message).with(problems)
}

// seconds writes a duration for Retry-After, rounded up to at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
