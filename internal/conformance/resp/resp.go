package resp

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxWord limits one word or value on a connection, in bytes.
const maxWord = 512 << 20

// Value is an answer of Redis, in RESP2 or RESP3.
type Value struct {
	Kind  byte // the first byte of its encoding
	Text  string
	Items []Value
	Null  bool
}

// IsError reports whether the answer is an error.
func (v Value) IsError() bool { return v.Kind == '-' || v.Kind == '!' }

// Plain returns the answer as JSON would have it: numbers as float64, errors as text.
func (v Value) Plain() any {
	switch {
	case v.Null:
		return nil
	case v.Kind == ':':
		n, _ := strconv.ParseFloat(v.Text, 64)
		return n
	case strings.IndexByte("*%~>", v.Kind) >= 0:
		list := make([]any, len(v.Items))
		for i, item := range v.Items {
			list[i] = item.Plain()
		}
		return list
	case v.Kind == '#':
		return v.Text == "t"
	default:
		return v.Text
	}
}

// Holds reports whether a value holds a text.
func (v Value) Holds(text string) bool {
	if v.Text == text {
		return true
	}
	for _, item := range v.Items {
		if item.Holds(text) {
			return true
		}
	}
	return false
}

// Words returns the texts of an array.
func (v Value) Words() []string {
	list := make([]string, len(v.Items))
	for i, item := range v.Items {
		list[i] = item.Text
	}
	return list
}

// Reader reads commands and answers, and keeps their bytes.
type Reader struct {
	in  *bufio.Reader
	Raw []byte // of the present command or answer
}

// NewReader returns a reader of a connection.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 64<<10)} }

// Command reads one command. Its bytes are in raw until the next call.
func (r *Reader) Command() ([]string, error) {
	r.Raw = r.Raw[:0]
	head, err := r.in.Peek(1)
	if err != nil {
		return nil, err
	}
	if head[0] != '*' {
		line, err := r.line()
		return strings.Fields(line), err
	}
	v, err := r.next(0)
	return v.Words(), err
}

// Answer reads one answer. Its bytes are in raw until the next call.
func (r *Reader) Answer() (Value, error) {
	r.Raw = r.Raw[:0]
	return r.next(0)
}

func (r *Reader) line() (string, error) {
	line, err := r.in.ReadString('\n')
	r.Raw = append(r.Raw, line...)
	return strings.TrimRight(line, "\r\n"), err
}

func (r *Reader) next(depth int) (Value, error) {
	line, err := r.line()
	if err != nil {
		return Value{}, err
	}
	if line == "" || depth > 32 {
		return Value{}, fmt.Errorf("not RESP: %.40q", line)
	}
	v := Value{Kind: line[0], Text: line[1:]}
	switch v.Kind {
	case '+', '-', ':', '#', ',', '(':
		return v, nil
	case '_':
		v.Null = true
		return v, nil
	case '$', '=', '!':
		return v, r.bulk(&v)
	case '*', '~', '>', '%', '|':
		return v, r.list(&v, depth)
	default:
		return Value{}, fmt.Errorf("not RESP: %.40q", line)
	}
}

func (r *Reader) bulk(v *Value) error {
	size, err := strconv.Atoi(v.Text)
	if err != nil || size > maxWord {
		return fmt.Errorf("not a length of RESP: %.40q", v.Text)
	}
	if v.Text = ""; size < 0 {
		v.Null = true
		return nil
	}
	at := len(r.Raw)
	r.Raw = append(r.Raw, make([]byte, size+2)...)
	_, err = io.ReadFull(r.in, r.Raw[at:])
	v.Text = string(r.Raw[at : at+size])
	return err
}

func (r *Reader) list(v *Value, depth int) error {
	count, err := strconv.Atoi(v.Text)
	if err != nil || count > 1<<20 {
		return fmt.Errorf("not a length of RESP: %.40q", v.Text)
	}
	if v.Text = ""; count < 0 {
		v.Null = true
		return nil
	}
	if v.Kind == '%' || v.Kind == '|' {
		count *= 2
	}
	for range count {
		item, err := r.next(depth + 1)
		if err != nil {
			return err
		}
		v.Items = append(v.Items, item)
	}
	return nil
}

// AppendCommand appends a command in RESP.
func AppendCommand(dst []byte, words ...string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(words))
	for _, word := range words {
		dst = fmt.Appendf(dst, "$%d\r\n", len(word))
		dst = append(append(dst, word...), "\r\n"...)
	}
	return dst
}
