package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/bus/wire"
)

// ACLUser is a user of Redis with the rights of one role and no others
// (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/).
type ACLUser struct {
	// Name is the name of the user. Required.
	Name string
	// Passwords are the passwords that the user may use. Without one it cannot log in.
	Passwords []string

	rights []string
}

// GatewayAccess lists what a gateway may do beyond calling services.
type GatewayAccess struct {
	// Hosted are the services that workers on its WebSocket may serve: for these it has the
	// rights of a worker too. Defaults to none.
	Hosted []string
	// Console permits what its console does: reading the history and the dead letters of
	// all services, replaying and dropping dead letters, pauses, revoking API keys and
	// audit lines. Defaults to false.
	Console bool
	// ByEval permits scripts by EVAL in place of functions, for servers without functions.
	// Defaults to false.
	ByEval bool
}

// GatewayUser returns the user of a gateway.
func GatewayUser(name string, keys wire.Keys, access GatewayAccess) (ACLUser, error) {
	grants, hosted := gatewayRights(keys), access.Hosted
	if access.Console {
		grants = append(grants, consoleRights(keys)...)
	}
	var faults []error
	for _, service := range hosted {
		faults = append(faults, wire.CheckServiceName(service))
		grants = append(grants, lookupRights(keys, []string{"*"}, service)...) // their handlers call services
	}
	if err := errors.Join(faults...); err != nil {
		return ACLUser{}, err
	}
	if len(hosted) > 0 {
		grants = append(grants, workerRights(keys, hosted)...)
	}
	return newACLUser(name, grants, access.ByEval)
}

// WorkerAccess lists the services that a worker serves and calls.
type WorkerAccess struct {
	// Services are the services that it serves. Required.
	Services []string
	// Calls are the services that its handlers may call. The user may read and change
	// their mailboxes and records, also the requests of other callers.
	Calls []string
	// Reads are the services whose safe actions its handlers may call. The user can read
	// an outcome only by its ID, which cannot be guessed.
	Reads []string
	// ByEval permits scripts by EVAL in place of functions, for servers without functions. The
	// user may then run any Lua on its keys. Defaults to false.
	ByEval bool
}

// WorkerUser returns the user of a process that serves all these services.
func WorkerUser(name string, keys wire.Keys, access WorkerAccess) (ACLUser, error) {
	var faults []error
	for _, service := range slices.Concat(access.Services, access.Calls, access.Reads) {
		faults = append(faults, wire.CheckServiceName(service))
	}
	if len(access.Services) == 0 {
		faults = append(faults, errors.New("the rights of a worker: no service; name at least one"))
	}
	if err := errors.Join(faults...); err != nil {
		return ACLUser{}, err
	}
	return newACLUser(name, slices.Concat(workerRights(keys, access.Services), callerRights(keys, access)), access.ByEval)
}

func newACLUser(name string, grants []grant, byEval bool) (ACLUser, error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n\x00") {
		return ACLUser{}, fmt.Errorf("user %q: want a name without spaces", name)
	}
	u := ACLUser{Name: name}
	for i, g := range grants {
		if byEval {
			g.commands = evalCommands(g.commands)
		}
		rules := g.rules()
		if i > 0 { // a selector: one of them must allow the whole command
			rules = []string{"(" + strings.Join(rules, " ") + ")"}
		}
		u.rights = append(u.rights, rules...)
	}
	return u, nil
}

// evalCommands returns the commands with those of scripts in place of those of functions.
func evalCommands(commands []string) []string {
	var list []string
	for _, command := range commands {
		if command == "fcall" {
			list = append(list, "eval", "evalsha")
			continue
		}
		list = append(list, command)
	}
	return list
}

// rules returns the arguments of ACL SETUSER after the name. They begin with reset,
// which removes earlier rights, and hold the SHA-256 of a password.
func (u *ACLUser) rules() []string {
	rules := []string{"reset", "on"}
	for _, password := range u.Passwords {
		sum := sha256.Sum256([]byte(password))
		rules = append(rules, "#"+hex.EncodeToString(sum[:]))
	}
	return append(rules, u.rights...)
}

// Line returns the user as a line of an ACL file. Without its first word it is the
// arguments of ACL SETUSER.
func (u *ACLUser) Line() string { return "user " + u.Name + " " + strings.Join(u.rules(), " ") }

// grant allows commands on some keys and channels.
type grant struct {
	keys     []string // patterns with their ~, %R~ or %W~
	channels []string
	commands []string
}

func (g grant) rules() []string {
	rules := append([]string{"resetchannels"}, g.keys...) // a server may give new users all channels
	for _, channel := range g.channels {
		rules = append(rules, "&"+channel)
	}
	for _, command := range g.commands {
		rules = append(rules, "+"+command)
	}
	return rules
}
