// Package keys knows the API keys of clients: it makes, lists and revokes them,
// and tells a gateway whose a key is.
//
//	key.go       what is kept of a key, and what its text looks like
//	store.go     one hash in Redis: create, list, revoke
//	verifier.go  text → principal; a key that was looked up counts for 500 ms
//
// Only the SHA-256 of a key's secret is kept. That is no password hash, nor needs
// to be one: nobody guesses 160 random bits.
package keys
