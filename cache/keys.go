package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/oskadev/mailroom/internal/template"
)

// keys names what lies in Redis. All of a space carry its hash tag, so that
// scripts and reads find them on one slot of a cluster.
type keys struct{ namespace string }

func (k keys) of(space, kind, rest string) string {
	return k.namespace + ":{" + space + "}:" + kind + ":" + rest
}

// digest names a question.
func (q *Query) digest() string {
	sum := sha256.Sum256([]byte(Identity(q.Space, q.Identity)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// look lists the keys of a question: the copy, the lease (a prefix: the nonces
// follow), what is handed over, the tags.
func (k keys) look(q *Query, digest string) []string {
	list := make([]string, 0, 3+len(q.Tags))
	list = append(list, k.of(q.Space, "cached", digest), k.of(q.Space, "lease", digest), k.of(q.Space, "handed", digest))
	for _, tag := range q.Tags {
		list = append(list, k.tag(q.Space, tag))
	}
	return list
}

// lease is the lease of a question for those who read these nonces.
func (k keys) lease(space, digest, nonces string) string {
	return k.of(space, "lease", digest) + ":" + nonces
}

func (k keys) tag(space, tag string) string { return k.of(space, "tag", tag) }

// flights is the channel on which a process hears the outcomes that it waits for.
func (k keys) flights(id string) string { return k.namespace + ":flights:" + id }

// dropped is the channel that tells which tags of a space were invalidated.
func (k keys) dropped(space string) string { return k.namespace + ":dropped:{" + space + "}" }

func (k keys) droppedPattern() string { return k.namespace + ":dropped:*" }

// droppedSpace is the space that a channel tells of.
func (k keys) droppedSpace(channel string) string {
	return strings.TrimSuffix(strings.TrimPrefix(channel, k.namespace+":dropped:{"), "}")
}

// Tag fills the arguments of a question, a JSON array, into a tag: {0} becomes
// the first one. A string stands as it is, anything else as compact JSON; bytes
// other than letters, digits and "-_.~" are percent-encoded. An argument that
// is not there is an error.
func Tag(tag, args string) (string, error) {
	filled, err := template.Fill(tag, args)
	if err != nil {
		return "", fmt.Errorf("tag %w", err)
	}
	return filled, nil
}

// CheckTag says what is wrong with a tag, or with the template of one for so
// many arguments; nil: nothing.
func CheckTag(tag string, arguments int) error {
	if err := template.Check(tag, arguments); err != nil {
		return fmt.Errorf("tag %w", err)
	}
	return nil
}
