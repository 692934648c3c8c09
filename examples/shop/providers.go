package shop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
)

// provider charges an amount, and returns its reference of the charge. The same key again returns the same reference and
// does not charge again. After an error, the caller does not know whether the charge was made.
type provider interface {
	charge(ctx context.Context, key string, amount int64) (reference string, err error)
}

// The three providers are simulated: each accepts every charge, and derives the reference from the key.
type (
	providerA struct{}
	providerB struct{}
	providerC struct{}
)

// charge returns the key, after A-, as the reference.
func (providerA) charge(_ context.Context, key string, _ int64) (string, error) {
	return "A-" + key, nil
}

// charge returns a short code as the reference.
func (providerB) charge(_ context.Context, key string, _ int64) (string, error) {
	sum := sha256.Sum256([]byte(key))
	return "B-" + strings.ToUpper(hex.EncodeToString(sum[:8])), nil
}

// charge returns a number as the reference.
func (providerC) charge(_ context.Context, key string, _ int64) (string, error) {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(key)) // a hash never fails
	return fmt.Sprintf("C-%020d", sum.Sum64()), nil
}
