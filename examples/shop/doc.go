// Package shop is the example that a new Mailroom serves: four services of a small web shop, written the way a team
// would write its own. Each service is three files:
//
//   - users.go, items.go, vouchers.go, payments.go: the actions, their routes and what they decide;
//   - users_types.go and so on: what clients send and get, from which the schemas are derived;
//   - users_store.go and so on: how the service keeps its records in Redis, so that every replica sees the same.
//
// A request may be delivered more than once, when a worker is lost before it could answer. Three habits make that
// harmless, and are worth copying:
//
//   - An effect and the memory of the request that had it are written in one script (lua/). The same request again
//     changes nothing and is answered as the first time.
//   - A store that does not answer is tried again until the request's deadline ([workers.Retry]). After that the handler
//     returns [workers.NoOutcome], because it cannot know whether the effect happened; the next delivery finds out.
//   - What the shop asks of others, a payment provider (providers.go), carries the request's id as well.
//
// No service touches another one's keys: each could run against a Redis of its own.
package shop
