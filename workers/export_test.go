package workers

import (
	"context"

	"github.com/oskadev/mailroom/bus/wire"
)

// Declare returns the manifest before it is encoded.
func (s *Service) Declare() (*wire.Manifest, error) { return s.declare() }

// MetaFrom returns everything that travels with the request of a handler.
func MetaFrom(ctx context.Context) wire.Meta { return stateOf(ctx).delivery.Request.ParseMeta() }
