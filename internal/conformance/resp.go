package conformance

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxWord limits one word or value on a connection, in bytes.
const maxWord = 512 << 20

// value is an answer of Redis, in RESP2 or RESP3.
type value struct {
	kind  byte // the first byte of its encoding
	text  string
	items []value
	null  bool
}

// isError reports whether the answer is an error.
func (v value) isError() bool { return v.kind == '-' || v.kind == '!' }

// plain returns the answer as JSON would have it: numbers as float64, errors as text.
func (v value) plain() any {
	switch {
	case v.null:
		return nil
	case v.kind == ':':
		n, _ := strconv.ParseFloat(v.text, 64)
		return n
	case strings.IndexByte("*%~>", v.kind) >= 0:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.plain()
		}
		return list
	case v.kind == '#':
		return v.text == "t"
	default:
		return v.text
	}
}

// words returns the texts of an array.
func (v value) words() []string {
	list := make([]string, len(v.items))
	for i, item := range v.items {
		list[i] = item.text
	}
	return list
}

// respReader reads commands and answers, and keeps their bytes.
type respReader struct {
	in  *bufio.Reader
	raw []byte // of the present command or answer
}

func newRespReader(in io.Reader) *respReader { return &respReader{in: bufio.NewReaderSize(in, 64<<10)} }

// command reads one command. Its bytes are in raw until the next call.
func (r *respReader) command() ([]string, error) {
	r.raw = r.raw[:0]
	head, err := r.in.Peek(1)
	if err != nil {
		return nil, err
	}
	if head[0] != '*' {
		line, err := r.line()
		return strings.Fields(line), err
	}
	v, err := r.next(0)
	return v.words(), err
}

// answer reads one answer. Its bytes are in raw until the next call.
func (r *respReader) answer() (value, error) {
	r.raw = r.raw[:0]
	return r.next(0)
}

func (r *respReader) line() (string, error) {
	line, err := r.in.ReadString('\n')
	r.raw = append(r.raw, line...)
	return strings.TrimRight(line, "\r\n"), err
}

func (r *respReader) next(depth int) (value, error) {
	line, err := r.line()
	if err != nil {
		return value{}, err
	}
	if line == "" || depth > 32 {
		return value{}, fmt.Errorf("not RESP: %.40q", line)
	}
	v := value{kind: line[0], text: line[1:]}
	switch v.kind {
	case '+', '-', ':', '#', ',', '(':
		return v, nil
	case '_':
		v.null = true
		return v, nil
	case '$', '=', '!':
		return v, r.bulk(&v)
	case '*', '~', '>', '%', '|':
		return v, r.list(&v, depth)
	default:
		return value{}, fmt.Errorf("not RESP: %.40q", line)
	}
}

func (r *respReader) bulk(v *value) error {
	size, err := strconv.Atoi(v.text)
	if err != nil || size > maxWord {
		return fmt.Errorf("not a length of RESP: %.40q", v.text)
	}
	if v.text = ""; size < 0 {
		v.null = true
		return nil
	}
	at := len(r.raw)
	r.raw = append(r.raw, make([]byte, size+2)...)
	_, err = io.ReadFull(r.in, r.raw[at:])
	v.text = string(r.raw[at : at+size])
	return err
}

func (r *respReader) list(v *value, depth int) error {
	count, err := strconv.Atoi(v.text)
	if err != nil || count > 1<<20 {
		return fmt.Errorf("not a length of RESP: %.40q", v.text)
	}
	if v.text = ""; count < 0 {
		v.null = true
		return nil
	}
	if v.kind == '%' || v.kind == '|' {
		count *= 2
	}
	for range count {
		item, err := r.next(depth + 1)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	return nil
}

// appendCommand appends a command in RESP.
func appendCommand(dst []byte, words ...string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(words))
	for _, word := range words {
		dst = fmt.Appendf(dst, "$%d\r\n", len(word))
		dst = append(append(dst, word...), "\r\n"...)
	}
	return dst
}
