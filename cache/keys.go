package cache

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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
func Tag(template, args string) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(args), &list); err != nil {
		return "", fmt.Errorf("tag %s: the arguments are no JSON array: %w", template, err)
	}
	var tag strings.Builder
	for rest := template; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		tag.WriteString(before)
		if !found {
			break
		}
		number, behind, closed := strings.Cut(after, "}")
		n, err := strconv.Atoi(number)
		if !closed || err != nil || n < 0 || n >= len(list) {
			return "", fmt.Errorf("tag %s: there is no argument {%s}", template, number)
		}
		writeEscaped(&tag, list[n])
		rest = behind
	}
	return tag.String(), nil
}

func writeEscaped(dst *strings.Builder, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		switch b := text[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', strings.IndexByte("-_.~", b) >= 0:
			dst.WriteByte(b)
		default:
			dst.Write([]byte{'%', hex[b>>4], hex[b&15]})
		}
	}
}

// CheckTag says what is wrong with a tag, or with the template of one for so
// many arguments; nil: nothing.
func CheckTag(template string, arguments int) error {
	if template == "" || len(template) > 128 {
		return fmt.Errorf("tag %.40q: want 1 to 128 bytes", template)
	}
	if i := strings.IndexFunc(template, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }); i >= 0 {
		return fmt.Errorf("tag %q: %q cannot stand in a tag", template, template[i])
	}
	list := make([]string, arguments)
	for i := range list {
		list[i] = "0"
	}
	_, err := Tag(template, "["+strings.Join(list, ",")+"]")
	return err
}
