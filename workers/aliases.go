package workers

import (
	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
)

// Principal is the caller of the API, as the gateway authenticated it: Subject,
// Tenant and Scopes. Methods of nil, which is anonymous, report no scope.
type Principal = wire.Principal

// Credentials prove to Redis who a process is, beside its URL: a password file, a
// client certificate, the certificates of authorities.
type Credentials = bus.Credentials

// RefusedError reports that Redis does not let a process in, or denies it a command.
// A retry does not help until the user's rights are set.
type RefusedError = bus.RefusedError
