package cli

import (
	"cmp"
	"context"
	"log/slog"
	"net"

	"github.com/oskadev/mailroom/internal/ops"
)

// opsFlags say where the pages of the operator are served.
type opsFlags struct {
	OpsListen string `placeholder:"ADDRESS" help:"Address to serve /metrics, /healthz, /readyz and /console on, for operators; off: nowhere (default: 127.0.0.1:9090, or nowhere if that is taken)."`
}

// opsAddress returns the value of --ops-listen of a worker; empty: its pages are not served.
func opsAddress(flag string) string {
	if flag == "off" {
		return ""
	}
	return flag
}

// listenOps opens the address; nil: the pages are not served.
func (f *opsFlags) listenOps(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	if f.OpsListen == "off" {
		return nil, nil
	}
	return ops.Listen(ctx, cmp.Or(f.OpsListen, ops.DefaultAddress), f.OpsListen != "", log)
}
