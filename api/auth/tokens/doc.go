// Package tokens tells whose a JSON Web Token is (RFC 7519). What a token may say
// of how it is to be checked is next to nothing: algorithms, issuer and audience are
// the operator's, and so are the keys.
//
//	config.go    what the operator pins
//	source.go    where the keys are: a JWKS by URL or file, or a file with a secret
//	keyring.go   the keys of now: loaded anew from time to time, and when one is missed
//	keyset.go    which key fits a token
//	verifier.go  token → principal
//	claims.go    what the claims say of it
//
// It knows no Redis and no HTTP but that of a JWKS.
package tokens
