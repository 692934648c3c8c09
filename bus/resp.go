package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// resp reads a reply of the Redis protocol (RESP2,
// https://redis.io/docs/latest/develop/reference/protocol-spec/) whose bytes
// are all there. What it gives are pieces of that one string: reading a batch
// of requests costs one allocation, not one for each value.
type resp struct {
	text string
	at   int
}

var errProtocol = errors.New("a reply of Redis cannot be read")

// respError is an error that Redis answered with.
type respError string

func (e respError) Error() string { return string(e) }

// RedisError marks it for the client library.
func (respError) RedisError() {}

// line reads up to the next line break.
func (r *resp) line() (kind byte, rest string, err error) {
	end := strings.Index(r.text[r.at:], "\r\n")
	if end < 1 {
		return 0, "", errProtocol
	}
	line := r.text[r.at : r.at+end]
	r.at += end + 2
	if line[0] == '-' {
		return 0, "", respError(line[1:])
	}
	return line[0], line[1:], nil
}

// length reads the head of an array or a string; -1 is nil.
func (r *resp) length(want byte) (int, error) {
	kind, rest, err := r.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(rest)
	if err != nil || kind != want && n >= 0 || n < -1 {
		return 0, errProtocol
	}
	return n, nil
}

// array reads the head of an array; -1 is nil.
func (r *resp) array() (int, error) { return r.length('*') }

// bulk reads a string; nil is empty.
func (r *resp) bulk() (string, error) {
	n, err := r.length('$')
	if err != nil || n < 0 {
		return "", err
	}
	if n > len(r.text)-r.at-2 {
		return "", errProtocol
	}
	s := r.text[r.at : r.at+n]
	r.at += n + 2
	return s, nil
}

// word reads a string or a number as text; nil is empty.
func (r *resp) word() (string, error) {
	if r.at < len(r.text) && r.text[r.at] == '$' {
		return r.bulk()
	}
	kind, rest, err := r.line()
	if err != nil || kind == '+' || kind == ':' {
		return rest, err
	}
	return "", errProtocol
}

// wordOf is an answer that is a string or a number; its error may be what Redis said.
func wordOf(answer string) (string, error) { return (&resp{text: answer}).word() }

// numberOf is an answer that is a number.
func numberOf(answer string) (int64, error) {
	word, err := wordOf(answer)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, errProtocol
	}
	return n, nil
}

// wordsOf is an answer that is a list of strings and numbers.
func wordsOf(answer string) ([]string, error) {
	r := &resp{text: answer}
	n, err := r.array()
	if err != nil {
		return nil, err
	}
	words := make([]string, max(n, 0))
	for i := range words {
		if words[i], err = r.word(); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// streamEntries reads what XREADGROUP gives of one stream. Entries that were
// deleted have no fields and are left out.
func streamEntries(reply string) ([]*Delivery, error) {
	r := &resp{text: reply}
	streams, err := r.array()
	if err != nil || streams < 1 {
		return nil, err
	}
	if _, err := r.array(); err != nil { // a pair of the stream's name and its entries
		return nil, err
	}
	if _, err := r.bulk(); err != nil {
		return nil, err
	}
	return r.entries()
}

func (r *resp) entries() ([]*Delivery, error) {
	n, err := r.array()
	if err != nil || n < 1 {
		return nil, err
	}
	batch := make([]*Delivery, 0, min(n, writeBatch))
	var fields []string
	for range n {
		if _, err := r.array(); err != nil { // a pair of the entry's ID and its fields
			return nil, err
		}
		entry, err := r.bulk()
		if err != nil {
			return nil, err
		}
		if fields, err = r.strings(fields[:0]); err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			batch = append(batch, newDelivery(entry, fields))
		}
	}
	return batch, nil
}

func (r *resp) strings(dst []string) ([]string, error) {
	n, err := r.array()
	if err != nil {
		return nil, err
	}
	for range n {
		s, err := r.bulk()
		if err != nil {
			return nil, err
		}
		dst = append(dst, s)
	}
	return dst, nil
}

// rawCmd is a command whose answer is read by resp, and which the client
// library never sends twice.
type rawCmd struct{ *redis.RawCmd }

// NoRetry tells the client library to leave retries to its caller.
func (rawCmd) NoRetry() bool { return true }

// readRaw sends a command by itself and gives the answer's bytes. On a cluster
// it goes to the master of the key: the library does not see the redirection
// in an answer that it does not read, nor a refusal.
func (c *Conn) readRaw(ctx context.Context, rdb redis.UniversalClient, key string, args ...any) (string, error) {
	cmd := rawCmd{redis.NewRawCmd(ctx, args...)}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return "", err
		}
		rdb = master
		defer func() {
			if strings.HasPrefix(string(cmd.Val()), "-MOVED") {
				cluster.ReloadState(ctx)
			}
		}()
	}
	if err := rdb.Process(ctx, cmd); err != nil {
		return "", c.door.explain(err, args...)
	}
	answer := string(cmd.Val())
	if strings.HasPrefix(answer, "-") {
		_, _, err := (&resp{text: answer}).line()
		return "", c.door.explain(err, args...)
	}
	return answer, nil
}
