package testsupport

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogsHoldEveryRecord(t *testing.T) {
	t.Parallel()
	log, logs := Logger(t)
	log.Debug("claimed", "entry", "7-0")
	log.Error("gave up")

	assert.True(t, logs.Contains("entry=7-0"), "an attribute of a debug record")
	assert.True(t, logs.Contains("gave up"))
	assert.False(t, logs.Contains("never said"))
	assert.Regexp(t, `(?s)msg=claimed.*\n.*msg="gave up"\n$`, logs.String())
}

func TestLogsWaitReturnsTheLineThatComesLater(t *testing.T) {
	t.Parallel()
	log, logs := Logger(t)
	log.Info("before")
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for range 50 {
				log.Info("noise", "writer", i)
			}
		})
	}
	writers.Go(func() { log.Info("signal", "number", 42) })

	line := logs.Wait(t, "signal")
	writers.Wait()
	assert.Contains(t, line, "number=42")
	assert.NotContains(t, line, "\n")
	assert.Contains(t, logs.Wait(t, "before"), "msg=before", "a line that is there already")
}

func TestLogsWaitEnds(t *testing.T) {
	t.Parallel()
	_, logs := Logger(t)
	_, found := logs.wait("never said", time.Millisecond)
	require.False(t, found)
}
