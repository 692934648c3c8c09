package limits

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
)

// headerForwarded is the header that each proxy appends the address of its client to.
const headerForwarded = "X-Forwarded-For"

// proxies are the networks of the proxies whose X-Forwarded-For is trusted.
type proxies []netip.Prefix

// addressOf returns the address of the client: the peer of the connection, or, when
// that is a trusted proxy, the last address in X-Forwarded-For that is not one.
// Addresses before it may be forged.
func (p proxies) addressOf(c *fiber.Ctx) netip.Addr {
	peer := addressFrom(c.Context().RemoteAddr())
	if len(p) == 0 || !p.trusts(peer) {
		return peer
	}
	lines := c.Request().Header.PeekAll(headerForwarded)
	for _, line := range slices.Backward(lines) {
		for _, text := range slices.Backward(strings.Split(string(line), ",")) {
			hop, ok := parseHop(strings.TrimSpace(text))
			if !ok {
				return peer // no trusted proxy wrote this
			}
			if peer = hop.Unmap().WithZone(""); !p.trusts(peer) {
				return peer
			}
		}
	}
	return peer
}

// parseHop parses an address as proxies write it: some add a port.
func parseHop(text string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address, true
	}
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr(), true
	}
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return address, err == nil
}

func (p proxies) trusts(address netip.Addr) bool {
	for _, network := range p {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

func addressFrom(remote net.Addr) netip.Addr {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// Caller returns who a limit of this gateway alone counts a request for: the principal, or
// the network of an anonymous caller.
func (q *Quotas) Caller(c *fiber.Ctx, in *exchange.Request) string {
	if in.Principal != nil {
		return "principal " + in.Principal.Key()
	}
	return "address " + networkOf(q.proxies.addressOf(c))
}

// networkOf returns the part of an address that counts as one client: of IPv6 the first
// 64 bits, because a client usually has all addresses behind them.
func networkOf(address netip.Addr) string {
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}
