package workers

import (
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Principal is the authenticated caller of the API, with Subject, Tenant and Scopes. A
// nil Principal is an anonymous caller; its methods report that it has no scope.
type Principal = wire.Principal

// Credentials authenticate a process to Redis, beside the user and password of its URL: a
// password file, a client certificate, and the certificate authorities to trust.
type Credentials = bus.Credentials

// RefusedError reports that Redis rejected the credentials of a process, or denied it a
// command. A retry fails too, until the rights of its Redis user are changed.
type RefusedError = bus.RefusedError
