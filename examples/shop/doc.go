// Package shop is the example of `go run .`: four services of a small web shop, written as a team would write its own.
// Open users.go first. Each service has three files:
//
//   - users.go, items.go, vouchers.go, payments.go declare the actions, their routes and their rules;
//   - users_types.go and so on hold the types of arguments and results, from which the schemas are derived;
//   - users_store.go and so on keep the records of the service in Redis, which all its workers share.
//
// A request is delivered again if its worker is lost before it answers. Three habits make that harmless:
//
//   - One transaction writes an effect together with the ID of its request. The same request again changes nothing and
//     gets the same answer.
//   - [workers.Retry] repeats a call of the store that failed, until the deadline of the request. Then the handler returns
//     [workers.NoOutcome], because it does not know whether the effect happened, and the request is delivered again.
//   - A call of a payment provider (providers.go) carries the ID of the request.
//
// No service uses the keys of another one: each can have its own Redis.
package shop
