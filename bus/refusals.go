package bus

import (
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// isRefused reports that Redis answered and does not let us in.
func isRefused(err error) bool {
	for _, code := range []string{"WRONGPASS", "NOAUTH", "NOPERM"} {
		if redis.HasErrorPrefix(err, code) {
			return true
		}
	}
	return false
}

// neverSent reports that a command cannot have reached Redis: there was no
// connection to write it to.
func neverSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed)
}

// isHopeless reports that Redis answered with an error that trying again does
// not change, unlike one of a server that is full, loading or failing over.
func isHopeless(err error) bool {
	if !isServerError(err) {
		return false
	}
	for _, code := range []string{"NOPERM", "WRONGTYPE", "ERR"} {
		if redis.HasErrorPrefix(err, code) {
			return true
		}
	}
	return false
}

// isServerError reports that Redis answered with an error, so that nothing is
// in doubt.
func isServerError(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "redis: ")
}
