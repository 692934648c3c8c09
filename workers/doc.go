// Package workers lets you write a service in Go: declare its actions as functions, and
// run it.
//
//	users := workers.NewService("users", workers.WithVersion("1.4.0"))
//	workers.Handle1(users, "GET_USER", store.Get, // func(ctx, id int64) (User, error)
//		workers.Route("GET /users/:id"))
//	err := workers.Run(ctx, workers.Config{RedisURL: "redis://localhost:6379"}, users)
//
// Options of a service begin with With, as in [WithVersion]; options of an action are
// bare nouns, as in [Route] and [Timeout].
//
// Arguments are positional: the parameters of the route's path in their order, then one
// object, which is the JSON body or the query. The JSON schemas of the arguments and of
// the result are derived from the Go types. The service announces them in its manifest,
// and the gateway rejects requests that do not fit them.
//
// An action whose routes are all GET is safe: it may run twice, and its outcome is not
// stored. Every other action is unsafe: its outcome is stored, and it runs again only if
// its worker was lost before it had an outcome. [RequestID] is the same in every run, so
// that a handler can make its effect once.
//
// The package does not know HTTP, and does not read from Redis itself: package
// bus/consumer passes it the requests and stores their outcomes.
//
// Open service.go first. action.go, request.go and options.go declare actions,
// execute.go runs one request, and run.go starts and drains a process.
package workers
