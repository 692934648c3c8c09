package tickets

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
)

func TestKeyedIDsAreTheGatewaysSecret(t *testing.T) {
	t.Parallel()
	secret := []byte("secret")
	id := keyedID(secret, "", "payments", "PAY", "order-1")
	assert.Equal(t, id, keyedID(secret, "", "payments", "PAY", "order-1"))
	assert.Equal(t, uuid.Version(8), id.Version())
	assert.Equal(t, uuid.RFC4122, id.Variant())
	for what, other := range map[string]uuid.UUID{
		"another secret":     keyedID([]byte("other"), "", "payments", "PAY", "order-1"),
		"another caller":     keyedID(secret, "ada", "payments", "PAY", "order-1"),
		"another service":    keyedID(secret, "", "payment", "sPAY", "order-1"),
		"another action":     keyedID(secret, "", "payments", "PAYo", "rder-1"),
		"another key":        keyedID(secret, "", "payments", "PAY", "order-2"),
		"parts run together": keyedID(secret, "payments", "", "PAY", "order-1"),
	} {
		assert.NotEqual(t, id, other, what)
	}
}
