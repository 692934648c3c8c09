package edge

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/testsupport/corpus"
)

// filtered passes text in pieces of a size through a framing.
func filtered(f *framing, text string, size int) string {
	var out strings.Builder
	for piece := range slices.Chunk([]byte(text), size) {
		if f.fault == "" {
			out.Write(piece[:f.pass(piece)])
		}
		if f.upgrade { // the request was answered
			rest := f.held
			f.upgrade, f.held = false, nil
			out.Write(rest[:f.pass(rest)])
		}
	}
	return out.String()
}

// The gate refuses the same messages however their bytes arrive.
func TestFramingInPieces(t *testing.T) {
	t.Parallel()
	cases, err := corpus.Load(corpus.Target{Get: "/a", Post: "/b", Body: strings.Repeat("x", 21)})
	require.NoError(t, err)
	for _, c := range cases {
		whole := &framing{}
		want := filtered(whole, c.Bytes, len(c.Bytes))
		if c.Honest {
			assert.Empty(t, whole.fault, c.Name)
		}
		for _, size := range []int{1, 2, 3, 7, 64} {
			f := &framing{}
			got := filtered(f, c.Bytes, size)
			assert.Equal(t, whole.fault, f.fault, "%s in pieces of %d", c.Name, size)
			if f.fault == "" && len(f.partial) == 0 {
				assert.Equal(t, want, got, "%s in pieces of %d", c.Name, size)
			}
		}
	}
}

// The framing and the HTTP library agree where each message ends: behind the last one that
// the library reads, the framing waits for a request line.
func FuzzFraming(f *testing.F) {
	cases, err := corpus.Load(corpus.Target{Get: "/a", Post: "/b", Body: strings.Repeat("x", 21)})
	require.NoError(f, err)
	for _, c := range cases {
		f.Add(c.Bytes, uint8(5))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		const end = "GET /end HTTP/1.1\r\nHost: x\r\n\r\n"
		own := &framing{}
		passed := filtered(own, text, int(size)+1)
		if own.fault != "" || own.state != inStart || own.left > 0 || len(own.partial) > 0 {
			return
		}
		passed += filtered(own, end, len(end))
		r := bufio.NewReaderSize(strings.NewReader(passed), 1<<16)
		for {
			var request fasthttp.Request
			if request.Header.Read(r) != nil {
				return // the library refuses it
			}
			if request.Header.ContentLength() > 1<<20 || request.ContinueReadBody(r, 1<<20, false) != nil {
				return
			}
			for _, trailer := range []string{"X-A", "Prefer", "Idempotency-Key"} {
				require.LessOrEqual(t, len(request.Header.PeekAll(trailer)), bytes.Count(bytes.ToLower(request.Header.RawHeaders()), []byte(strings.ToLower(trailer))), "%q", passed)
			}
			if string(request.RequestURI()) == "/end" {
				_, err := r.Peek(1)
				require.ErrorIs(t, err, io.EOF, "%q", passed)
				return
			}
		}
	})
}

func benchmarkPass(b *testing.B, text string) {
	b.Helper()
	b.ReportAllocs()
	p := make([]byte, len(text))
	f := &framing{}
	for b.Loop() {
		copy(p, text)
		if f.pass(p); f.fault != "" {
			b.Fatal(f.fault)
		}
	}
}

func BenchmarkFraming(b *testing.B) {
	const small = "GET /echo/1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	const browser = "GET /echo/1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" +
		"Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\nAuthorization: Bearer mk_0123456789abcdef0123456789abcdef\r\n" +
		"Origin: https://app.example.com\r\nReferer: https://app.example.com/\r\nSec-Fetch-Mode: cors\r\nConnection: keep-alive\r\n\r\n"
	post := "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16384\r\n\r\n" + strings.Repeat("x", 16384)
	chunked := "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 4) + "0\r\n\r\n"
	b.Run("small", func(b *testing.B) { benchmarkPass(b, small) })
	b.Run("browser", func(b *testing.B) { benchmarkPass(b, browser) })
	b.Run("post16KiB", func(b *testing.B) { benchmarkPass(b, post) })
	b.Run("chunked16KiB", func(b *testing.B) { benchmarkPass(b, chunked) })
}

// BenchmarkServed sends requests over one connection, with the framing and without it.
func BenchmarkServed(b *testing.B) {
	const get = "GET /echo/1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	chunked := "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("1000\r\n"+strings.Repeat("x", 4096)+"\r\n", 4) + "0\r\n\r\n"
	for name, text := range map[string]string{"get": get, "chunked16KiB": chunked} {
		for _, framed := range []bool{true, false} {
			b.Run(name+"/framed="+strconv.FormatBool(framed), func(b *testing.B) {
				inner, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
				require.NoError(b, err)
				l := Listen(inner, ListenerConfig{MaxConnections: 10, PerAddress: 10, Log: slog.New(slog.DiscardHandler)})
				defer func() { _ = l.Close() }()
				conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", inner.Addr().String())
				require.NoError(b, err)
				accepted, err := l.Accept()
				require.NoError(b, err)
				accepted.(*connection).raw.Store(!framed)
				server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") }, ReadBufferSize: 32 << 10, NoDefaultDate: true}
				ended := make(chan error, 1)
				go func() { ended <- server.ServeConn(accepted) }()
				r := bufio.NewReader(conn)
				var response fasthttp.Response
				for b.Loop() {
					if _, err := io.WriteString(conn, text); err != nil {
						b.Fatal(err)
					}
					if err := response.Read(r); err != nil {
						b.Fatal(err)
					}
				}
				require.NoError(b, conn.Close())
				require.NoError(b, <-ended)
			})
		}
	}
}
