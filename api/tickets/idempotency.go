package tickets

import (
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// keyedStore is the time for which the outcome of a request with an Idempotency-Key is kept.
const keyedStore = 24 * time.Hour

// maxKey is the maximum length of an Idempotency-Key.
const maxKey = 255

// idempotencyKey parses the header Idempotency-Key
// (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/):
// 1 to 255 visible ASCII characters, in quotes or bare; "abc" and abc are one key.
func idempotencyKey(header string) (string, *exchange.Failure) {
	key := header
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if key == "" || len(key) > maxKey {
		return "", exchange.BadRequest(exchange.Problem{Field: "Idempotency-Key", Problem: "want 1 to 255 characters"})
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "", exchange.BadRequest(exchange.Problem{Field: "Idempotency-Key", Problem: "want visible ASCII characters, without spaces"})
		}
	}
	return key, nil
}

// keyedID returns the ID of all calls with the same key, by the same principal, of the
// same action. It depends on the secret of the gateways, so that a key does not reveal its
// ticket.
func keyedID(secret []byte, principal, service, action, key string) uuid.UUID {
	return wire.IdempotentID(secret, principal, service, action, key)
}
