package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// Error is the error of an answer: what the service said, or why there is no
// answer of it.
type Error struct {
	// Code names the failure for programs, such as VOUCHER_USED.
	Code string `json:"code"`
	// Status is the HTTP status that fits.
	Status int `json:"status"`
	// Message tells people what happened.
	Message string `json:"message"`
	// Details are as they came.
	Details json.RawMessage `json:"details,omitempty"`
	// Service and Action say who failed.
	Service string `json:"service"`
	Action  string `json:"action"`

	cause error
}

// NotSent reports that the service was not asked: nothing happened.
func (f *Error) NotSent() bool {
	return errors.Is(f.cause, errNoWorker) || errors.Is(f.cause, caller.ErrUnavailable) && !errors.Is(f.cause, caller.ErrTimeout) || errors.Is(f.cause, caller.ErrOverloaded)
}

// Error is the code and the message.
func (f *Error) Error() string { return f.Code + ": " + f.Message }

// Unwrap returns what kept the answer away, such as bus.ErrTimeout; nil where the
// service itself failed.
func (f *Error) Unwrap() error { return f.cause }

// result reads an envelope.
func result(envelope string) (json.RawMessage, error) {
	var read struct {
		OK     *bool           `json:"ok"`
		Result json.RawMessage `json:"result"`
		Error  Error           `json:"error"`
	}
	switch err := json.Unmarshal([]byte(envelope), &read); {
	case err != nil, read.OK == nil:
		return nil, &Error{
			Code: wire.CodeInternal, Status: http.StatusInternalServerError, Message: "the service's answer cannot be read", cause: err,
		}
	case !*read.OK:
		return nil, &read.Error
	}
	return read.Result, nil
}

// Codes of what keeps an answer away.
const (
	codeUnavailable = "UNAVAILABLE"
	codeOverloaded  = "OVERLOADED"
	codeCycle       = "ASK_CYCLE"
	codeTooDeep     = "ASK_TOO_DEEP"
)

// explain makes an Error of what kept the answer of a service away.
func explain(q *Question, err error) *Error {
	f := &Error{Service: q.Service, Action: q.Action, cause: err}
	say := func(status int, code, message string) *Error {
		f.Status, f.Code, f.Message = status, code, message
		return f
	}
	switch {
	case errors.Is(err, errUnknown):
		return say(http.StatusNotImplemented, wire.CodeNotSupported, err.Error())
	case errors.Is(err, caller.ErrOverloaded):
		return say(http.StatusServiceUnavailable, codeOverloaded, "too many requests wait for "+q.Service)
	case errors.Is(err, errNoWorker):
		return say(http.StatusServiceUnavailable, codeUnavailable, err.Error())
	case errors.Is(err, caller.ErrUnavailable):
		return say(http.StatusServiceUnavailable, codeUnavailable, q.Service+" cannot be reached")
	case errors.Is(err, caller.ErrTimeout), errors.Is(err, caller.ErrExpired), errors.Is(err, context.DeadlineExceeded):
		return say(http.StatusGatewayTimeout, wire.CodeTimeout, q.Service+" did not answer in time")
	case errors.Is(err, caller.ErrCancelled):
		return say(http.StatusConflict, wire.CodeConflict, "the request to "+q.Service+" was cancelled")
	case errors.Is(err, caller.ErrClosed), errors.Is(err, cache.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, cache.ErrCrowded):
		return say(http.StatusServiceUnavailable, codeUnavailable, "this process takes no more of that now")
	default:
		return say(http.StatusInternalServerError, wire.CodeInternal, "internal error")
	}
}

var (
	errUnknown  = errors.New("not known")
	errNoWorker = errors.New("no worker")
)

func unknown(q *Question, what string) error {
	return fmt.Errorf("%s has no action %.64q: %w", q.Service, what, errUnknown)
}
