package edge

import (
	"bytes"
	"net/http"

	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// refuseHostile refuses a message by its request line. The HTTP library accepts it although
// two parties could read it differently (RFC 9112, section 3.2). A framing has checked the
// lines before.
func refuseHostile(h *fasthttp.RequestHeader) *exchange.Failure {
	switch {
	case !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0":
		return hostile("neither HTTP/1.0 nor HTTP/1.1")
	case len(h.Host()) == 0 && h.IsHTTP11():
		return hostile("the header Host is missing")
	case !validTarget(h.RequestURI()):
		return hostile("the target is neither a path nor a URL")
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

// validTarget reports whether the target of a request is a path, the asterisk, or a URL with
// a host and no userinfo. The method decides on the asterisk and on the target of CONNECT.
func validTarget(target []byte) bool {
	_, rest, absolute := bytes.Cut(target, []byte("://"))
	if len(target) == 0 || target[0] == '/' || !absolute {
		return true
	}
	scheme := target[:len(target)-len(rest)-len("://")]
	host := rest
	if end := bytes.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	known := bytes.EqualFold(scheme, []byte("http")) || bytes.EqualFold(scheme, []byte("https"))
	return known && len(host) > 0 && validHost(host)
}
