package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// keys names the keys and channels in Redis. Every key of a space has the space as
// its hash tag, so that all of them are in one slot of a cluster.
type keys struct{ namespace string }

func (k keys) of(space, kind, rest string) string {
	return k.namespace + ":{" + space + "}:" + kind + ":" + rest
}

// digest identifies a query of an epoch in keys.
func (q *Query) digest(epoch string) string {
	var usual [256]byte // long enough for most identities
	sum := sha256.Sum256(appendIdentity(usual[:0], epoch, q.Space, q.Identity))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// lookup lists the keys of a query for the scripts: the entry, the prefix of the
// lease, the prefix of a value that is too long to publish, the tags.
func (k keys) lookup(q *Query, digest string) []string {
	list := make([]string, 0, 3+len(q.Tags))
	list = append(list, k.entry(q.Space, digest), k.of(q.Space, "lease", digest), k.handed(q.Space, digest))
	for _, tag := range q.Tags {
		list = append(list, k.tag(q.Space, tag))
	}
	return list
}

func (k keys) entry(space, digest string) string { return k.of(space, "cached", digest) }

func (k keys) handed(space, digest string) string { return k.of(space, "handed", digest) }

// lease is the lease of a query for callers that read these nonces.
func (k keys) lease(space, digest, nonces string) string {
	return k.of(space, "lease", digest) + ":" + nonces
}

func (k keys) tag(space, tag string) string { return k.of(space, "tag", tag) }

// join joins nonces as entries, leases and flights hold them.
func join(nonces []string) string {
	if len(nonces) == 0 {
		return "-"
	}
	return strings.Join(nonces, ",")
}

// flights is the channel on which a process receives outcomes.
func (k keys) flights(id string) string { return k.namespace + ":flights:" + id }

// dropped is the channel of the invalidated tags of a space.
func (k keys) dropped(space string) string { return k.namespace + ":dropped:{" + space + "}" }

func (k keys) droppedPattern() string { return k.namespace + ":dropped:*" }

// droppedSpace returns the space of such a channel.
func (k keys) droppedSpace(channel string) string {
	return strings.TrimSuffix(strings.TrimPrefix(channel, k.namespace+":dropped:{"), "}")
}
