package echo

import (
	"context"
	"net/http"
	"regexp"

	"github.com/oskadev/mailroom/workers"
)

// Failure is the error that FAIL returns.
type Failure struct {
	Code    string `json:"code"    description:"capitals, digits and underscores, as in VOUCHER_USED"`
	Status  int    `json:"status"  description:"400 to 599"`
	Message string `json:"message"`
}

// Nothing is the result of an action that always fails.
type Nothing struct{}

func (handlers) fail(_ context.Context, as Failure) (Nothing, error) {
	var faults []workers.FieldError
	if !regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(as.Code) {
		faults = append(faults, workers.FieldError{Field: "code", Problem: "must look like VOUCHER_USED"})
	}
	if as.Status < http.StatusBadRequest || as.Status > 599 {
		faults = append(faults, workers.FieldError{Field: "status", Problem: "must be from 400 to 599"})
	}
	if len(faults) > 0 {
		return Nothing{}, workers.BadRequest(faults...)
	}
	return Nothing{}, workers.Fail(workers.Code(as.Code), as.Status, as.Message)
}

func (handlers) fallOver(context.Context) (Nothing, error) {
	panic("the action PANIC panics") //nolint:forbidigo // that is the purpose of this action
}

func (h handlers) crash(context.Context) (Nothing, error) {
	h.exit(1)
	return Nothing{}, nil
}
