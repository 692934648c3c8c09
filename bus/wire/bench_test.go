package wire

import (
	"testing"
	"time"
)

func benchFields() []string {
	return []string{
		"v", ProtocolVersion, "id", goldenID, "action", "GET_ECHO", "args", "[1]",
		"reply", "mailroom:replies:api.k2jx7mqa5zt4wv6e:{echo}", "deadline", "1750000010000", "meta", `{"caller":"api.k2jx7mqa5zt4wv6e"}`,
	}
}

func BenchmarkParseRequest(b *testing.B) {
	fields := benchFields()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(fields); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplyMeta(b *testing.B) {
	meta := ReplyMeta{Worker: "echo.q4n7zj2mx6tbw5ra", Attempt: 1, Queue: 1500 * time.Microsecond, Run: 42 * time.Microsecond}
	b.Run("append", func(b *testing.B) {
		dst := make([]byte, 0, 256)
		b.ReportAllocs()
		for b.Loop() {
			dst = meta.Append(dst[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		text := string(meta.Append(nil))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseReplyMeta(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	r := &Request{Action: "UPDATE_USER", Args: `[1,{"name":"Oska","email":"oska@example.com"}]`}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.Fingerprint()) != 64 {
			b.Fatal("not a SHA-256")
		}
	}
}
