package wire

import (
	"fmt"
	"regexp"
	"slices"
)

// Group is the consumer group through which the workers of a service read its
// mailbox.
const Group = "workers"

// DefaultNamespace is the prefix of every key and channel unless configured.
const DefaultNamespace = "mailroom"

// ReservedService is the name of the mailbox of compositions, which gateways consume.
// No service may have it.
const ReservedService = "compositions"

// RoleAPI is the role of gateways and of other clients that are no service: the first
// part of their identifiers. No service may have this name, since it could subscribe to
// the replies of gateways.
const RoleAPI = "api"

const maxNameLength = 64

// reservedNames are the mailbox of compositions, the role of gateways, and the
// first segments of the gateway's own paths: a service's routes begin with its
// name.
func reservedNames() []string {
	return []string{ReservedService, RoleAPI, "requests", "healthz", "readyz", "metrics", "docs", "console", "ws", "events", "socket"}
}

// Keys names the keys and channels of one namespace. Every key of a service
// carries the service's hash tag, so that one service lives on one cluster
// slot.
type Keys struct{ namespace string }

// NewKeys returns the names of a namespace: 1 to 64 letters, digits, dots,
// underscores or hyphens.
func NewKeys(namespace string) (Keys, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(namespace) {
		return Keys{}, fmt.Errorf("namespace %q: want 1 to 64 letters, digits, dots, underscores or hyphens", namespace)
	}
	return Keys{namespace: namespace}, nil
}

// Namespace returns the prefix of all keys and channels.
func (k Keys) Namespace() string { return k.namespace }

// CheckServiceName returns an error if the name is not valid for a service.
func CheckServiceName(name string) error {
	switch {
	case len(name) > maxNameLength || !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(name):
		return fmt.Errorf("service name %q: want a lower-case letter, then lower-case letters, digits or hyphens, at most %d", name, maxNameLength)
	case slices.Contains(reservedNames(), name) || regexp.MustCompile(`^v[0-9]+$`).MatchString(name):
		return fmt.Errorf("service name %q is reserved", name)
	}
	return nil
}

// Tagged returns a key of a service: namespace, hash tag and the rest.
func (k Keys) Tagged(service, rest string) string {
	return k.namespace + ":{" + service + "}:" + rest
}

// Requests is the mailbox of a service: a stream.
func (k Keys) Requests(service string) string { return k.Tagged(service, "requests") }

// Dead is the stream of a service's dead letters.
func (k Keys) Dead(service string) string { return k.Tagged(service, "dead") }

// Workers is the sorted set of a service's workers by heartbeat expiry.
func (k Keys) Workers(service string) string { return k.Tagged(service, "workers") }

// Paused is the string that exists while the mailbox of a service is paused.
func (k Keys) Paused(service string) string { return k.Tagged(service, "paused") }

// Recent is the stream of the requests that ended last: a sample for operators.
func (k Keys) Recent(service string) string { return k.Tagged(service, "recent") }

// RecentNotable is the stream of those among them that failed, were slow or ran again.
func (k Keys) RecentNotable(service string) string { return k.Tagged(service, "recent:notable") }

// Record is the hash that keeps the outcome of one request.
func (k Keys) Record(service, id string) string { return k.Tagged(service, "req:"+id) }

// Body is the string that keeps a large outcome of a request for a while.
func (k Keys) Body(service, id string) string { return k.Record(service, id) + ":body" }

// Stored is the hash with the bytes that requests and outcomes of all principals take.
func (k Keys) Stored(service string) string { return k.Tagged(service, "stored") }

// Lane is the list of a lane's requests. The first one is in the mailbox.
func (k Keys) Lane(service, lane string) string { return k.Tagged(service, "lane:"+lane) }

// Waiting is the hash of the numbers of waiting requests by lane; the empty field is
// the number in all lanes.
func (k Keys) Waiting(service string) string { return k.Tagged(service, "parked") }

// Manifest is the string that holds one build's manifest.
func (k Keys) Manifest(service, digest string) string { return k.Tagged(service, "manifest:"+digest) }

// Plan is the string that holds the plan of a composition, by its hash.
func (k Keys) Plan(hash string) string { return k.Tagged(ReservedService, "plan:"+hash) }

// Services is the set of the known services' names.
func (k Keys) Services() string { return k.namespace + ":services" }

// Secret is the string with the secret that gateways share.
func (k Keys) Secret() string { return k.namespace + ":secret" }

// Gateway is the string with the recent statistics of one gateway.
func (k Keys) Gateway(id string) string { return k.namespace + ":gateway:" + id }

// Gateways is the sorted set of the live gateways by the expiry of their statistics.
func (k Keys) Gateways() string { return k.namespace + ":gateways" }

// Audit is the stream of what operators did to no service.
func (k Keys) Audit() string { return k.namespace + ":audit" }

// ServiceAudit is the stream of what operators did to a service.
func (k Keys) ServiceAudit(service string) string { return k.Tagged(service, "audit") }

// APIKeys is the hash of the clients' API keys, by their IDs.
func (k Keys) APIKeys() string { return k.namespace + ":keys" }

// Registry is the channel that hints at a changed service.
func (k Keys) Registry() string { return k.namespace + ":registry" }

// Replies is the channel of one service's replies to one caller.
func (k Keys) Replies(caller, service string) string {
	return k.namespace + ":replies:" + caller + ":{" + service + "}"
}

// Ping is the channel on which a caller receives its own pings. No service may publish
// on it, since its name has no hash tag.
func (k Keys) Ping(caller string) string { return k.namespace + ":replies:" + caller + ":beat" }

// MayReply reports whether a service may publish a reply on the channel.
func (k Keys) MayReply(service, channel string) bool {
	prefix, suffix := k.namespace+":replies:", ":{"+service+"}"
	return len(channel) > len(prefix)+len(suffix) &&
		channel[:len(prefix)] == prefix && channel[len(channel)-len(suffix):] == suffix
}
