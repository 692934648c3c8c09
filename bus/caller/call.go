package caller

import "github.com/oskadev/mailroom/bus/wire"

// NewAsk returns the call of an action as its service declares it, with a JSON array of
// arguments.
func NewCall(a *wire.Action, service, args string) Call {
	return Call{Service: service, Action: a.Name, Args: args, Timeout: a.Timeout(), Safe: a.Safe, Lane: a.LaneOf(args)}
}
