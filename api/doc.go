// Package api is the gateway: it turns REST requests into requests on the bus and replies
// into HTTP answers. It is the only package, with those below it, that knows Fiber.
//
// It is public for programs that embed a gateway: Config, New, Serve. It does not run
// actions (package workers does) and does not store answers (package cache does).
//
// Open handler.go first. The path of a request:
//
//	edge/        accepts the connection; refuses what is not a valid request
//	exchange/    copies the request out of Fiber; writes answers
//	handler.go   passes one request through the packages below
//	limits/      counts the request by the rate limits
//	auth/        authenticates the caller; checks its scopes
//	route/       finds the route; binds the arguments by their schemas
//	serve.go     calls the action, by internal/call
//	compose/     runs the steps where the route is a composition
//	tickets/     answers 202, and serves the outcome later
//	respond.go   writes the reply: envelope, status, headers
//	cached.go    writes a reply that callers share; cachecontrol.go holds its headers
//	explain.go   error of a call → failure
//	observe.go   counts, logs and traces the answered request
//
// The life of a gateway: config.go, server.go (New, Serve, drain), backend.go (the client,
// registry and cache behind it), access.go (Redis denies access), health.go. aliases.go
// names the types of other packages in the public surface.
package api
