// Package tokens verifies JSON Web Tokens (RFC 7519). The operator chooses the algorithms,
// the issuer, the audience and the keys; a token has no say in how it is verified.
//
// It issues no tokens, knows no Redis, and speaks HTTP only to fetch a JWKS.
//
// Open verifier.go first.
//
//	verifier.go  token → principal
//	claims.go    claims → principal
//	config.go    the settings of the operator
//	source.go    where the keys come from: a JWKS by URL or file, or a file with a secret
//	keyring.go   the current keys: reloaded periodically, and for an unknown key
//	keyset.go    which key verifies a token
package tokens
