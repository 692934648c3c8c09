// Package workers is what the author of a service writes against: name a
// service, hand it functions, run it.
//
//	users := workers.NewService("users", workers.WithVersion("1.4.0"))
//	workers.Handle1(users, "GET_USER", store.Get, // func(ctx, id int64) (User, error)
//		workers.Route("GET /users/:id"))
//	err := workers.Run(ctx, workers.Config{RedisURL: "redis://localhost:6379"}, users)
//
// Arguments are positional, as in request('UPDATE_USER', 1, {…}): the
// parameters of the route's path in order, then one object, the JSON body or
// the query. Their JSON schemas, and the result's, come from the Go types and
// go into the service's manifest, so that the gateway refuses what does not fit.
//
// An action whose routes are all GET is safe: it may run twice, and nothing is
// kept of it. Any other keeps its outcome, and runs again only when a worker
// was lost before there was one; RequestID is the same each time, so that an
// effect can be made once.
//
// In the way of a request the package stands between the consumer and the
// settling of outcomes: service.go and action.go declare, execute.go runs,
// run.go starts and drains.
package workers
