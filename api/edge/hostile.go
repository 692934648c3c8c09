package edge

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// refuseHostile refuses a message that the HTTP library accepts although two parties
// could read it differently, which request smuggling relies on (RFC 9112, sections 3.2
// and 6.1).
func refuseHostile(h *fasthttp.RequestHeader) *exchange.Failure {
	if f := ambiguous(h.RawHeaders(), h.IsHTTP11()); f != nil {
		return f
	}
	switch {
	case !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0":
		return hostile("neither HTTP/1.0 nor HTTP/1.1")
	case len(h.Host()) == 0 && h.IsHTTP11():
		return hostile("the header Host is missing")
	}
	switch string(h.Method()) {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return nil
	case http.MethodConnect, http.MethodTrace:
		f := exchange.Fail(wire.CodeMethodNotAllowed, "CONNECT and TRACE are not served")
		f.Allow, f.Close = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", true
		return f
	default:
		f := exchange.Fail(wire.CodeMethodNotAllowed, "no such method")
		f.Allow, f.Close = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", true
		return f
	}
}

func hostile(message string) *exchange.Failure {
	f := exchange.Fail(wire.CodeBadRequest, message)
	f.Close = true
	return f
}

// ambiguous checks the raw header lines. Any coding but chunked, and any coding of an
// HTTP/1.0 client, leaves the end of the body open; the HTTP library reads "identity"
// as no body (RFC 9112, sections 6.1 and 6.3).
func ambiguous(raw []byte, knowsChunks bool) *exchange.Failure {
	length, encoding := false, false
	for line := range bytes.Lines(raw) {
		switch {
		case line[0] == ' ' || line[0] == '\t':
			return hostile("a header that goes on in the next line")
		case exchange.HasName(line, "content-length:"):
			length = true
		case exchange.HasName(line, "transfer-encoding:"):
			encoding = true
			if coding := bytes.TrimSpace(line[len("transfer-encoding:"):]); !knowsChunks || !bytes.EqualFold(coding, []byte("chunked")) {
				return hostile("a Transfer-Encoding other than chunked")
			}
		}
	}
	if length && encoding {
		return hostile("Content-Length together with Transfer-Encoding")
	}
	return nil
}
