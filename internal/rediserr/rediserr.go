// Package rediserr tells apart the errors that Redis answers with.
package rediserr

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// IsServer reports that Redis answered with an error, so that the fate of the
// command is known.
func IsServer(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "redis: ")
}

// IsRefused reports that Redis refuses the user: it does not log in, or lacks a
// right. Within a script Redis has no error code for that: the texts are those
// of Redis 7.0, and of 7.2 and newer.
func IsRefused(err error) bool {
	if err == nil || err == redis.Nil { //nolint:errorlint // the library does not wrap it, and most errors are this one
		return false
	}
	refusals := []string{
		"NOPERM", "WRONGPASS", "NOAUTH",
		"The user executing the script can't", "ACL failure in script",
	}
	return slices.ContainsFunc(refusals, func(code string) bool { return redis.HasErrorPrefix(err, code) })
}

// IsForbidden reports that the user lacks a right, and is otherwise accepted.
func IsForbidden(err error) bool {
	return err != nil && err != redis.Nil && redis.HasErrorPrefix(err, "NOPERM") //nolint:errorlint // as above
}

// FirstRefused returns the first error of these commands that IsRefused, or nil.
func FirstRefused(cmds ...redis.Cmder) error {
	for _, cmd := range cmds {
		if IsRefused(cmd.Err()) {
			return cmd.Err()
		}
	}
	return nil
}

// IsPermanent reports that Redis answered with an error that a retry does not
// change, unlike that of a server that is full, loading or failing over.
func IsPermanent(err error) bool {
	var said redis.Error
	if !IsServer(err) || !errors.As(err, &said) {
		return false
	}
	// The library's own test of a prefix looks behind "ERR ".
	text := said.Error()
	return strings.HasPrefix(text, "WRONGTYPE ") || strings.HasPrefix(text, "ERR ") && text != "ERR max number of clients reached"
}

// IsNoScript reports that the server does not have the script (EVALSHA) or the function
// (FCALL).
func IsNoScript(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "NOSCRIPT") || redis.HasErrorPrefix(err, "Function not found"))
}

// IsNoFunctions reports that the server has no functions (FCALL, FUNCTION LOAD).
func IsNoFunctions(err error) bool {
	if err == nil || !redis.HasErrorPrefix(err, "unknown command") {
		return false
	}
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "fcall") || strings.Contains(text, "'function'") || strings.Contains(text, "`function`")
}

// IsMoving reports that no server runs the command now, because Redis fails over or moves
// the key: another server will soon.
func IsMoving(err error) bool {
	if err == nil {
		return false
	}
	moving := []string{"READONLY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "MASTERDOWN"}
	return slices.ContainsFunc(moving, func(code string) bool { return redis.HasErrorPrefix(err, code) })
}

// IsReadOnly reports that the server is a replica.
func IsReadOnly(err error) bool { return err != nil && redis.HasErrorPrefix(err, "READONLY") }

// IsNoGroup reports that the stream or its consumer group is gone. A blocked
// XREADGROUP gets UNBLOCKED then.
func IsNoGroup(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED"))
}

// IsBusyGroup reports that the consumer group exists already (XGROUP CREATE).
func IsBusyGroup(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") }
