package resp

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"
)

// server opens connections to one server. Pipeline and Conn reach the library by server
// and masters alone, which keeps builds fast (CONTRIBUTING.md, "Imports").
type server interface {
	// connect returns a new connection, logged in, and what closes it.
	connect(ctx context.Context) (net.Conn, io.Closer, error)
	io.Closer
}

// masters knows the masters of a cluster.
type masters interface {
	// of returns the address of the master that holds a key.
	of(ctx context.Context, key string) (string, error)
	// reload looks for the masters again.
	reload(ctx context.Context)
}

// libraryServer is a server behind a client of the library, which has one connection.
type libraryServer struct {
	client *redis.Client
	dialed
}

func newServer(client *redis.Client) server {
	s := &libraryServer{client: client}
	client.AddHook(&s.dialed)
	return s
}

func (s *libraryServer) connect(ctx context.Context) (net.Conn, io.Closer, error) {
	held := s.client.EphemeralConn() // keeps the connection out of the library's pool
	if err := held.Ping(ctx).Err(); err != nil {
		_ = held.Close()
		return nil, nil, err
	}
	return s.last(), held, nil
}

// Close closes the client.
func (s *libraryServer) Close() error { return s.client.Close() }

// dialed holds the connection that a client opened last.
type dialed struct {
	mu   sync.Mutex
	conn net.Conn
}

// DialHook notes what was dialed.
func (d *dialed) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			d.mu.Lock()
			d.conn = conn
			d.mu.Unlock()
		}
		return conn, err
	}
}

// ProcessHook leaves commands as they are.
func (*dialed) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook leaves pipelines as they are.
func (*dialed) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *dialed) last() net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

// libraryMasters is a cluster behind the client of the library. One goroutine uses it.
type libraryMasters struct {
	cluster *redis.ClusterClient
	hook    redis.Hook
	like    *redis.Client // of the master found last: it tells how to log in
}

func (m *libraryMasters) of(ctx context.Context, key string) (string, error) {
	master, err := m.cluster.MasterForKey(ctx, key)
	if err != nil {
		return "", err
	}
	m.like = master
	return master.Options().Addr, nil
}

// open returns the server at an address of the cluster, after a call of of.
func (m *libraryMasters) open(address string) server {
	o := *m.like.Options()
	o.Addr, o.PoolSize, o.MinIdleConns = address, 1, 0
	client := redis.NewClient(&o)
	client.AddHook(m.hook)
	return newServer(client)
}

func (m *libraryMasters) reload(ctx context.Context) { m.cluster.ReloadState(ctx) }
