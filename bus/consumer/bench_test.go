package consumer

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/oskadev/mailroom/bus/wire"
)

const (
	entryID  = "0190a5b4-7c3e-7d52-9f3e-0123456789ab"
	envelope = `{"ok":true,"result":{"id":1,"name":"Oska","email":"oska@example.com"}}`
)

// BenchmarkStreamEntries reads the answer of one XREADGROUP with 64 entries.
func BenchmarkStreamEntries(b *testing.B) {
	const entries = 64
	fields := []string{
		"v", "1", "id", entryID, "action", "GET_ECHO", "args", "[1]",
		"reply", "mailroom:replies:api.k2jx7mqa5zt4wv6e:{echo}", "deadline", "1750000010000", "meta", `{"caller":"api.k2jx7mqa5zt4wv6e"}`,
	}
	var reply strings.Builder
	bulk := func(s string) { fmt.Fprintf(&reply, "$%d\r\n%s\r\n", len(s), s) }
	reply.WriteString("*1\r\n*2\r\n")
	bulk("mailroom:{echo}:requests")
	fmt.Fprintf(&reply, "*%d\r\n", entries)
	for i := range entries {
		reply.WriteString("*2\r\n")
		bulk(fmt.Sprintf("1750000000000-%d", i))
		fmt.Fprintf(&reply, "*%d\r\n", len(fields))
		for _, field := range fields {
			bulk(field)
		}
	}
	text := reply.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		batch, err := readStream(text)
		if err != nil || len(batch) != entries || batch[0].invalid != nil {
			b.Fatal(len(batch), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
}

// benchCompletion is what a worker settles.
func benchCompletion() *completion {
	meta := wire.ReplyMeta{Worker: "echo.q4n7zj2mx6tbw5ra", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond}
	return &completion{
		delivery: &Delivery{Entry: "1750000000000-0", Request: wire.Request{ID: entryID}},
		state:    wire.StateDone, meta: meta.Append(nil), envelope: []byte(envelope),
	}
}

// BenchmarkReplyLine writes one line of a PUBLISH, and reads it as the caller does.
func BenchmarkReplyLine(b *testing.B) {
	s, e := &settler{}, benchCompletion()
	line := s.line(nil, nil, nil, e)
	b.Run("append", func(b *testing.B) {
		dst := make([]byte, 0, 2*len(line))
		b.ReportAllocs()
		for b.Loop() {
			dst = s.line(nil, nil, dst[:0], e)
		}
	})
	b.Run("parse", func(b *testing.B) {
		text := string(bytes.TrimSpace(line))
		b.ReportAllocs()
		for b.Loop() {
			name, _, err := wire.ParseReplyLine(text)
			if err == nil {
				_, err = uuid.Parse(name)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
