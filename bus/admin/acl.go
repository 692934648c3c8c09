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
	// Name is what the user is called by. Required.
	Name string
	// Passwords are those that it may use, any of them. Without one nobody can
	// be the user.
	Passwords []string

	rights []string
}

// GatewayUser is a user for gateways.
func GatewayUser(name string, keys wire.Keys) (ACLUser, error) {
	return newACLUser(name, gatewayRights(keys))
}

// WorkerAccess says what a worker does.
type WorkerAccess struct {
	// Services are those that it serves.
	Services []string
	// Asks are those whose actions its handlers may ask for. It is trusted with their
	// mailboxes and records: whoever took it over could read and spoil what others ask
	// of these services.
	Calls []string
	// Reads are those of which it may ask for safe actions alone. It can read an outcome
	// only by its ID, which nobody guesses.
	Reads []string
}

// WorkerUser is a user for a process that serves all these services.
func WorkerUser(name string, keys wire.Keys, access WorkerAccess) (ACLUser, error) {
	var faults []error
	for _, service := range slices.Concat(access.Services, access.Calls, access.Reads) {
		faults = append(faults, wire.CheckServiceName(service))
	}
	if len(access.Services) == 0 {
		faults = append(faults, errors.New("the rights of a worker: no service is named"))
	}
	if err := errors.Join(faults...); err != nil {
		return ACLUser{}, err
	}
	return newACLUser(name, slices.Concat(workerRights(keys, access.Services), askingRights(keys, access)))
}

func newACLUser(name string, grants []grant) (ACLUser, error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n\x00") {
		return ACLUser{}, fmt.Errorf("user %q: want a name without spaces", name)
	}
	u := ACLUser{Name: name}
	for i, g := range grants {
		rules := g.rules()
		if i > 0 { // a selector: a command passes by one of them, or by none
			rules = []string{"(" + strings.Join(rules, " ") + ")"}
		}
		u.rights = append(u.rights, rules...)
	}
	return u, nil
}

// Rules are the arguments of ACL SETUSER behind the name. They begin with
// reset: what the user was allowed before does not count. Of a password they
// hold the SHA-256.
func (u *ACLUser) Rules() []string {
	rules := []string{"reset", "on"}
	for _, password := range u.Passwords {
		sum := sha256.Sum256([]byte(password))
		rules = append(rules, "#"+hex.EncodeToString(sum[:]))
	}
	return append(rules, u.rights...)
}

// Line is the user as a line of an ACL file; without its first word it stands
// behind ACL SETUSER.
func (u *ACLUser) Line() string { return "user " + u.Name + " " + strings.Join(u.Rules(), " ") }

// grant lets commands be used on keys and channels, and on no others.
type grant struct {
	keys     []string // patterns with their ~, %R~ or %W~
	channels []string
	commands []string
}

func (g grant) rules() []string {
	rules := append([]string{"resetchannels"}, g.keys...) // a server may give all channels to whoever is new
	for _, channel := range g.channels {
		rules = append(rules, "&"+channel)
	}
	for _, command := range g.commands {
		rules = append(rules, "+"+command)
	}
	return rules
}
