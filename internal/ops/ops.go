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
	"time"
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

// shutdownLimit bounds the time for open requests when the process stops.
const shutdownLimit = time.Second

// Serve serves on the listener until the context ends, and closes it.
func Serve(ctx context.Context, ln net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
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
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the operator on %s: %w", ln.Addr(), err)
	}
	return nil
}
