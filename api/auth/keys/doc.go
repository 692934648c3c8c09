// Package keys creates, lists, revokes and verifies the API keys of clients. It knows no
// HTTP and checks no scopes.
//
// Open key.go first.
//
//	key.go       the stored form of a key, and its text
//	store.go     one hash in Redis: create, list, revoke
//	verifier.go  text → principal; a result is cached for 500 ms
//
// Redis holds the SHA-256 of a secret and not the secret. A password hash is not needed:
// the secret has 160 random bits.
package keys
