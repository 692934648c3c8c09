package api

import (
	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/auth/tokens"
	"github.com/oskadev/mailroom/api/console"
	"github.com/oskadev/mailroom/api/edge"
	"github.com/oskadev/mailroom/api/limits"
	"github.com/oskadev/mailroom/bus"
)

// Credentials authenticate a process to Redis, in addition to its URL.
type Credentials = bus.Credentials

// RefusedError reports that Redis refuses a process or denies it a command.
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

// Rate is a number of requests per period.
type Rate = limits.Rate

// ParseRate parses a rate such as 10/s, 5/m or 3/10s.
func ParseRate(text string) (Rate, error) { return limits.ParseRate(text) }

// LimitRule bounds how often requests may come.
type LimitRule = limits.Rule

// ParseLimit parses "RATE per SUBJECT [on METHOD /path] [burst N]", such as
// "100/s per principal" or "5/m per address on POST /users burst 2".
func ParseLimit(text string) (LimitRule, error) { return limits.ParseRule(text) }

// SizeRule bounds the messages of one route.
type SizeRule = edge.SizeRule

// ParseSize parses "METHOD /path [request=SIZE] [response=SIZE]". Sizes are in bytes, KiB
// or MiB.
func ParseSize(text string) (SizeRule, error) { return edge.ParseSize(text) }

// CORS allows pages of other origins to call.
type CORS = edge.CORS

// Mask hides members of arguments and outcomes in the console.
type Mask = console.Mask

// ParseMask parses SERVICE.ACTION.MEMBER; each part may hold *, as in users.*.email.
func ParseMask(text string) (Mask, error) { return console.ParseMask(text) }
