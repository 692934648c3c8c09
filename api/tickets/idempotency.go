package tickets

import (
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// keyedStore is how long the outcome of a request with an Idempotency-Key is kept.
const keyedStore = 24 * time.Hour

const maxKey = 255

// idempotencyKey reads the header Idempotency-Key
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

// keyedID is the one ID of all calls with the same key, by the same caller, of
// the same action, under the secret of the gateways: who knows a key, or guesses it,
// does not know the ticket by that.
func keyedID(secret []byte, principal, service, action, key string) uuid.UUID {
	return wire.KeyedID(secret, "idempotency", principal, service, action, key)
}
