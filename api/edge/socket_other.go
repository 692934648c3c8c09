//go:build !unix

package api

import "net"

// unread cannot be told here: a request that arrives in the moment in which its
// connection is closed may be lost while the gateway stops.
func unread(net.Conn) bool { return false }

// acceptWaiting cannot be done here: a connection that is made in the moment in
// which the gateway stops may be reset.
func acceptWaiting(net.Listener) net.Conn { return nil }

// mostConnections cannot be told here.
func mostConnections() int { return unlimited }
