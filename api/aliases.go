package api

import (
	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/auth/tokens"
	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/bus"
)

// Credentials prove to Redis who a process is, beside its URL.
type Credentials = bus.Credentials

// RefusedError reports that Redis does not let a process in, or denies it a command.
type RefusedError = bus.RefusedError

// Auth says whether callers must authenticate.
type Auth = auth.Mode

// The modes of authentication.
const (
	AuthNone     = auth.None     // credentials are ignored, and scopes are not checked
	AuthOptional = auth.Optional // a request without credentials is anonymous
	AuthRequired = auth.Required // a request without credentials is refused
)

// Tokens says which JSON Web Tokens are accepted.
type Tokens = tokens.Config

// LimitRule says how often calls may come.
type LimitRule = limits.Rule

// ParseLimit reads "RATE per WHOM [on METHOD /path] [burst N]", such as
// "100/s per principal" or "5/m per address on POST /users burst 2".
func ParseLimit(text string) (LimitRule, error) { return limits.ParseRule(text) }

// SizeRule bounds what goes through one route.
type SizeRule = edge.SizeRule

// ParseSize reads "METHOD /path [request=SIZE] [response=SIZE]", sizes in bytes, KiB
// or MiB.
func ParseSize(text string) (SizeRule, error) { return edge.ParseSize(text) }

// CORS lets pages of other origins call.
type CORS = edge.CORS
