package otlp

import (
	"testing"

	"github.com/oskadev/mailroom/testsupport"
)

func TestMain(m *testing.M) { testsupport.Main(m) }
