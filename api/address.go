package api

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// headerForwarded is what proxies add the address to that they were called from.
const headerForwarded = "X-Forwarded-For"

// addressOf says where a call comes from: the other end of the connection, or,
// where that is a trusted proxy, the last address in X-Forwarded-For that none of
// the trusted ones has. What stands before it, the caller may have made up.
func (s *Server) addressOf(c *fiber.Ctx) netip.Addr {
	peer := addressFrom(c.Context().RemoteAddr())
	if len(s.cfg.TrustedProxies) == 0 || !s.trusts(peer) {
		return peer
	}
	lines := c.Request().Header.PeekAll(headerForwarded)
	for _, line := range slices.Backward(lines) {
		for _, text := range slices.Backward(strings.Split(string(line), ",")) {
			hop, ok := parseHop(strings.TrimSpace(text))
			if !ok {
				return peer // not what a proxy of ours writes
			}
			if peer = hop.Unmap().WithZone(""); !s.trusts(peer) {
				return peer
			}
		}
	}
	return peer
}

// parseHop reads an address as proxies write it: some add a port.
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

func (s *Server) trusts(address netip.Addr) bool {
	for _, network := range s.cfg.TrustedProxies {
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

// neighbour is what of an address is counted as one caller: of IPv6 the first 64
// bits, since whoever has one address there has all of them.
func neighbour(address netip.Addr) string {
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}
