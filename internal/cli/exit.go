package cli

import "errors"

// Exit codes beside 0.
const (
	exitFailed      = 1 // the command failed, or the service answered with an error
	exitUsage       = 2 // a flag, an argument or a setting is wrong
	exitUndelivered = 3 // a request was not delivered, or not answered in time
)

// exitError is an error that chooses the exit code. Without an inner error
// nothing is printed.
type exitError struct {
	code int
	err  error
}

// usage makes an error that ends the program with exitUsage.
func usage(err error) error { return &exitError{code: exitUsage, err: err} }

// undelivered makes an error that ends the program with exitUndelivered.
func undelivered(err error) error { return &exitError{code: exitUndelivered, err: err} }

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	default:
		return exitFailed
	}
}
