package api

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/metrics"
	"github.com/oskadev/mailroom/api/socket"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

// consoleGateway is what the console knows of its gateway.
type consoleGateway struct{ *Server }

// Services returns the known services.
func (g consoleGateway) Services() registry.Snapshot { return g.router.Services() }

// State returns the state of the gateway.
func (g consoleGateway) State() metrics.State { return g.metrics.State() }

// Versions returns the versions in force.
func (g consoleGateway) Versions() *versions.File { return g.router.Versions() }

// Secret returns the secret of the gateways.
func (g consoleGateway) Secret() []byte { return g.backend.client.Secret() }

// Invoke calls an action as a socket does, with the limits and the scopes of the operator.
func (g consoleGateway) Invoke(_ context.Context, p *wire.Principal, service, action, args string) (envelope, id string) {
	call := &socket.Call{Principal: p, Service: service, Action: action, Args: jsontext.Value(args)}
	answer := socketBackend(g).Call(call) //nolint:contextcheck // its timeout ends it
	if sent := call.Sent(); sent != nil {
		id = sent.ID
	}
	return answer.Envelope, id
}

// Cancel cancels a request.
func (g consoleGateway) Cancel(ctx context.Context, service, id string) error {
	if _, err := g.backend.client.Cancel(ctx, service, id); err != nil && !errors.Is(err, caller.ErrCancelled) {
		return err
	}
	return nil
}
