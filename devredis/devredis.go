// Package devredis is the Redis of dev mode: miniredis, within this process, on
// a loopback port. It keeps everything in memory and ends with the process;
// anything that has to last wants a real Redis.
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
	mini.ClockTTL(true) // or keys would never expire
	return &Server{mini: mini}, nil
}

// URL is where it listens.
func (s *Server) URL() string { return "redis://" + s.mini.Addr() }

// Close stops it; what it held is gone.
func (s *Server) Close() { s.mini.Close() }
