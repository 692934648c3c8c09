// Package devredis runs the embedded Redis of dev mode: miniredis, in this process, on a
// loopback port. It holds all data in memory and loses it when the process ends. It is not
// for production, which needs a real Redis.
package devredis

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Server is one embedded Redis.
type Server struct{ mini *miniredis.Miniredis }

// Start starts an embedded Redis on a free port of 127.0.0.1.
func Start() (*Server, error) {
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	mini.ClockTTL(true) // expire keys as time passes; by default they never expire
	return &Server{mini: mini}, nil
}

// URL returns the address of the server, redis://127.0.0.1:PORT.
func (s *Server) URL() string { return "redis://" + s.mini.Addr() }

// Close stops the server. Its data is lost.
func (s *Server) Close() { s.mini.Close() }
