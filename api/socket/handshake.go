package socket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455, section 4.2.2: it proves that the server speaks WebSocket
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// Protocol is the subprotocol of frames.
const Protocol = "mailroom.v1"

// Handshake is what is known of a peer when its socket opens.
type Handshake struct {
	// Principal is the authenticated caller; nil: anonymous, or not known yet.
	Principal *wire.Principal
	// Credential is that of Principal; empty: none.
	Credential string
	// Authenticated reports that the headers had a credential.
	Authenticated bool
	// Address is that of the peer.
	Address netip.Addr
}

// acceptGUID is the constant of RFC 6455, section 1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// Upgrade turns a request into a socket, or refuses it.
func (s *Sockets) Upgrade(c *fiber.Ctx, h Handshake) *exchange.Failure {
	if f := s.check(&c.Request().Header); f != nil {
		c.Set("Sec-WebSocket-Version", "13")
		return f
	}
	if f := s.enter(); f != nil {
		return f
	}
	sum := sha1.Sum([]byte(c.Get("Sec-WebSocket-Key") + acceptGUID)) //nolint:gosec // see above
	c.Status(http.StatusSwitchingProtocols)
	c.Set(fiber.HeaderUpgrade, "websocket")
	c.Set(fiber.HeaderConnection, "Upgrade")
	c.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	c.Set("Sec-WebSocket-Protocol", Protocol)
	c.Context().HijackSetNoResponse(false)
	c.Context().Hijack(s.hijacked(h))
	return nil
}

// check refuses a handshake that is not valid (RFC 6455, section 4.2.1), or of a page of
// another origin.
func (s *Sockets) check(h *fasthttp.RequestHeader) *exchange.Failure {
	upgrade := func(problem string) *exchange.Failure {
		return exchange.Fail(wire.CodeBadRequest, "this is a WebSocket: "+problem)
	}
	key, err := base64.StdEncoding.DecodeString(string(h.Peek("Sec-WebSocket-Key")))
	switch {
	case !hasToken(h, fiber.HeaderConnection, "upgrade"), !hasToken(h, fiber.HeaderUpgrade, "websocket"):
		return upgrade("send the headers Connection: Upgrade and Upgrade: websocket")
	case string(h.Peek("Sec-WebSocket-Version")) != "13":
		return upgrade("send the header Sec-WebSocket-Version: 13")
	case err != nil || len(key) != 16:
		return upgrade("send the header Sec-WebSocket-Key with 16 bytes in base64")
	case !hasToken(h, "Sec-WebSocket-Protocol", Protocol):
		return upgrade("ask for the subprotocol " + Protocol)
	}
	if origin := string(h.Peek(fiber.HeaderOrigin)); origin != "" && !s.allowsOrigin(origin, string(h.Host())) {
		return exchange.Fail(wire.CodeForbidden, "pages of this origin may not open a socket: see --cors-origin")
	}
	return nil
}

// allowsOrigin reports whether pages of an origin may open a socket: those of the gateway's
// own host, and those that the settings for CORS name.
func (s *Sockets) allowsOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host) || s.cfg.AllowOrigin(origin)
}

// hasToken reports whether a comma-separated header has a token.
func hasToken(h *fasthttp.RequestHeader, name, token string) bool {
	for _, line := range h.PeekAll(name) {
		if slices.ContainsFunc(strings.Split(string(line), ","), func(part string) bool {
			return strings.EqualFold(strings.TrimSpace(part), token)
		}) {
			return true
		}
	}
	return false
}
