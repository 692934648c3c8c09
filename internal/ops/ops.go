// Package ops serves the pages of an operator over HTTP, on a listener of their own:
// /metrics, /healthz, /readyz and whatever a process adds.
package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/oskadev/mailroom/internal/share"
)

// DefaultAddress is where a gateway serves the pages of its operator.
const DefaultAddress = "127.0.0.1:9090"

// Handler returns a handler of /healthz and /readyz. ready returns why the process cannot
// serve; nil: it can. Add the other pages to it.
func Handler(ready func() error) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { probe(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { probe(w, ready()) })
	return mux
}

// probe answers a probe; sick: why it fails.
func probe(w http.ResponseWriter, sick error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if sick != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, sick)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// Listen opens an address. It returns no listener and no error where the address is the
// default one and is taken: a second gateway on a machine runs without its pages.
func Listen(ctx context.Context, address string, given bool, log *slog.Logger) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil && !given {
		log.WarnContext(ctx, "the pages of the operator are not served: give --ops-listen an address that is free", "address", address, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	return ln, nil
}

// Bounds of the connections to the operator's pages. Their flood costs the rest of the process
// little, and one address cannot use up all of them.
const (
	maxConnections = 256
	maxOfAddress   = 64
)

// bounded is a listener with these bounds: it closes the connections above them.
type bounded struct {
	net.Listener
	open *share.Shares[string] // by address
}

// Accept waits for a connection within the bounds.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if b.open.Take(address) == share.Granted {
			return &counted{Conn: conn, give: sync.OnceFunc(func() { b.open.Give(address) })}, nil
		}
		_ = conn.Close()
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	give func()
}

// Close closes the connection.
func (c *counted) Close() error {
	c.give()
	return c.Conn.Close()
}

// shutdownLimit bounds the time for open requests when the process stops.
const shutdownLimit = time.Second

// Serve serves on the listener until the context ends, and closes it. It bounds connections
// and times.
func Serve(ctx context.Context, ln net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer cancel()
		if server.Shutdown(closing) != nil {
			_ = server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(&bounded{Listener: ln, open: share.New[string](maxConnections, maxOfAddress)}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the operator on %s: %w", ln.Addr(), err)
	}
	return nil
}
