// Package client calls services from any Go program, over Redis alone: no gateway
// is needed.
//
//	c, err := client.New(ctx, client.Config{Redis: "redis://localhost:6379"})
//	user, err := client.Call[User](ctx, c, "users", "GET_USER", 1)
//
// A call behaves as at the gateway: answers are shared and cached, and requests wait
// in their lane, as the service declares. The outcome of an unsafe action is stored:
// calls with the same key ([Client.With], [Key]) run it once, and [Client.Send]
// returns a [Ticket] without waiting for the outcome.
//
// A failure is an [*Error] with a code; see [CodeOf].
//
// Open client.go first.
package client
