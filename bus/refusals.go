package bus

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// isRefused reports that Redis answered and does not let us in, or not do this.
// Within a script it has no code for that: the words are those of Redis 7.0, and
// of 7.2 and newer.
func isRefused(err error) bool {
	if err == nil || err == redis.Nil { //nolint:errorlint // the library does not wrap it, and most errors are this one
		return false
	}
	refusals := []string{
		"NOPERM", "WRONGPASS", "NOAUTH",
		"The user executing the script can't", "ACL failure in script",
	}
	return slices.ContainsFunc(refusals, func(code string) bool { return redis.HasErrorPrefix(err, code) })
}

// firstRefusal is the first error of these commands that is a refusal.
func firstRefusal(cmds ...redis.Cmder) error {
	for _, cmd := range cmds {
		if isRefused(cmd.Err()) {
			return cmd.Err()
		}
	}
	return nil
}

// isHopeless reports that Redis answered with an error that trying again does
// not change, unlike one of a server that is full, loading or failing over.
func isHopeless(err error) bool {
	var said redis.Error
	if !isServerError(err) || !errors.As(err, &said) {
		return false
	}
	// The library's own test of a prefix looks behind "ERR ".
	text := said.Error()
	return strings.HasPrefix(text, "WRONGTYPE ") || strings.HasPrefix(text, "ERR ") && text != "ERR max number of clients reached"
}

// isServerError reports that Redis answered with an error, so that nothing is
// in doubt.
func isServerError(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "redis: ")
}
