// Package auth authenticates the caller of a request and checks its scopes.
//
// It does not issue tokens, and it does not count requests. Package keys verifies API keys,
// package tokens verifies JSON Web Tokens.
//
// Open authenticator.go first.
//
//	authenticator.go  request → principal; scopes of a route
//	credential.go     headers → credential; failures of both kinds
//	mode.go           none, optional or required
package auth
