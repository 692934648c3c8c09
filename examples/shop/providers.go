package shop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
)

// provider takes money. The key names the charge: the same key again charges nothing more and returns the same
// reference, as the interfaces of real providers promise. An error means that nobody knows whether the money was taken.
type provider interface {
	charge(ctx context.Context, key string, amount int64) (reference string, err error)
}

// The three providers are simulated: each grants every charge and derives its reference from the key, which is all that
// it takes to know a charge again.
type (
	providerA struct{}
	providerB struct{}
	providerC struct{}
)

// charge of A refers to a charge by the key it came with.
func (providerA) charge(_ context.Context, key string, _ int64) (string, error) {
	return "A-" + key, nil
}

// charge of B refers to a charge by a short code.
func (providerB) charge(_ context.Context, key string, _ int64) (string, error) {
	sum := sha256.Sum256([]byte(key))
	return "B-" + strings.ToUpper(hex.EncodeToString(sum[:8])), nil
}

// charge of C refers to a charge by a number.
func (providerC) charge(_ context.Context, key string, _ int64) (string, error) {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(key)) // a hash never fails
	return fmt.Sprintf("C-%020d", sum.Sum64()), nil
}
