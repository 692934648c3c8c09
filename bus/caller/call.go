package caller

import "github.com/oskadev/mailroom/bus/wire"

// NewCall returns a call of an action with the timeout, safety and lane that its service
// declares. The arguments are a JSON array.
func NewCall(a *wire.Action, service, args string) Call {
	return Call{Service: service, Action: a.Name, Args: args, Timeout: a.Timeout(), Safe: a.Safe, Lane: a.LaneOf(args)}
}
