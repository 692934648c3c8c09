package workers_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/workers"
)

func TestCodesAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	for code, of := range map[workers.Code]wire.Code{
		workers.CodeBadRequest: wire.CodeBadRequest, workers.CodeForbidden: wire.CodeForbidden, workers.CodeNotFound: wire.CodeNotFound,
		workers.CodeConflict: wire.CodeConflict, workers.CodeUnprocessable: wire.CodeUnprocessable, workers.CodeInternal: wire.CodeInternal,
		workers.CodeNotSupported: wire.CodeNotSupported, workers.CodeUnavailable: wire.CodeUnavailable, workers.CodeOverloaded: wire.CodeOverloaded,
		workers.CodeTimeout: wire.CodeTimeout, workers.CodeCycle: wire.CodeCycle, workers.CodeTooDeep: wire.CodeTooDeep,
	} {
		assert.Equal(t, string(of), string(code))
	}
}
