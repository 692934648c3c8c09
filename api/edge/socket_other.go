//go:build !unix

package edge

import "net"

// unread is unknown on this system: a request that arrives while its connection is
// closed may be lost when the gateway stops.
func unread(net.Conn) bool { return false }

// acceptWaiting is not possible on this system: a connection that is made while the
// gateway stops may be reset.
func acceptWaiting(net.Listener) net.Conn { return nil }

// MaxConnections returns a number that no process reaches: the limit is unknown on this
// system.
func MaxConnections() int { return unlimited }
