package resp

import (
	"errors"
	"strconv"
	"strings"
)

// ErrProtocol marks bytes that are not a valid answer.
var ErrProtocol = errors.New("a reply of Redis cannot be read")

// Error is an error that Redis answered with.
type Error string

func (e Error) Error() string { return string(e) }

// RedisError marks it as Redis' own for the client library.
func (Error) RedisError() {}

// Reader reads values from an answer whose bytes are all there. The strings that
// it returns are pieces of the answer: reading a batch of requests costs one
// allocation, not one for each value.
type Reader struct {
	text string
	at   int
}

// NewReader returns a reader of one answer.
func NewReader(answer string) *Reader { return &Reader{text: answer} }

// line reads up to the next line break.
func (r *Reader) line() (kind byte, rest string, err error) {
	end := strings.Index(r.text[r.at:], "\r\n")
	if end < 1 {
		return 0, "", ErrProtocol
	}
	line := r.text[r.at : r.at+end]
	r.at += end + 2
	if line[0] == '-' {
		return 0, "", Error(line[1:])
	}
	return line[0], line[1:], nil
}

// length reads the head of an array or a string; -1 is nil.
func (r *Reader) length(want byte) (int, error) {
	kind, rest, err := r.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(rest)
	if err != nil || kind != want && n >= 0 || n < -1 {
		return 0, ErrProtocol
	}
	return n, nil
}

// Array reads the head of an array: its length, or -1 for nil.
func (r *Reader) Array() (int, error) { return r.length('*') }

// Bulk reads a string; nil is empty.
func (r *Reader) Bulk() (string, error) {
	n, err := r.length('$')
	if err != nil || n < 0 {
		return "", err
	}
	if n > len(r.text)-r.at-2 {
		return "", ErrProtocol
	}
	s := r.text[r.at : r.at+n]
	r.at += n + 2
	return s, nil
}

// Strings reads an array of strings and appends them to dst.
func (r *Reader) Strings(dst []string) ([]string, error) {
	n, err := r.Array()
	if err != nil {
		return nil, err
	}
	for range n {
		s, err := r.Bulk()
		if err != nil {
			return nil, err
		}
		dst = append(dst, s)
	}
	return dst, nil
}

// word reads a string or a number as text; nil is empty.
func (r *Reader) word() (string, error) {
	if r.at < len(r.text) && r.text[r.at] == '$' {
		return r.Bulk()
	}
	kind, rest, err := r.line()
	if err != nil || kind == '+' || kind == ':' {
		return rest, err
	}
	return "", ErrProtocol
}

// Word reads an answer that is a string or a number. Where Redis answered with an
// error, it returns that as an Error.
func Word(answer string) (string, error) { return NewReader(answer).word() }

// Number reads an answer that is a number.
func Number(answer string) (int64, error) {
	word, err := Word(answer)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, ErrProtocol
	}
	return n, nil
}

// Words reads an answer that is a list of strings and numbers.
func Words(answer string) ([]string, error) {
	r := NewReader(answer)
	n, err := r.Array()
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

// Entry is one entry of a stream.
type Entry struct {
	ID string
	// Fields are name, value, name, value.
	Fields []string
}

// StreamEntries reads the answer of XREADGROUP for one stream, and calls f with
// each entry; see Entries.
func StreamEntries(answer string, f func(Entry)) error {
	r := NewReader(answer)
	streams, err := r.Array()
	if err != nil || streams < 1 {
		return err
	}
	if _, err := r.Array(); err != nil { // a pair of the stream's name and its entries
		return err
	}
	if _, err := r.Bulk(); err != nil {
		return err
	}
	return r.entries(f)
}

// Entries reads the answer of XRANGE or XCLAIM, and calls f with each entry. The
// entry's fields are valid until f returns. Deleted entries, which have no
// fields, are left out.
func Entries(answer string, f func(Entry)) error { return NewReader(answer).entries(f) }

func (r *Reader) entries(f func(Entry)) error {
	n, err := r.Array()
	if err != nil || n < 1 {
		return err
	}
	var e Entry
	for range n {
		if _, err := r.Array(); err != nil { // a pair of the entry's ID and its fields
			return err
		}
		if e.ID, err = r.Bulk(); err != nil {
			return err
		}
		if e.Fields, err = r.Strings(e.Fields[:0]); err != nil {
			return err
		}
		if len(e.Fields) > 0 {
			f(e)
		}
	}
	return nil
}
