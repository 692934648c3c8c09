package host

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/internal/frames"
	"github.com/oskadev/mailroom/testsupport"
	"github.com/oskadev/mailroom/workers"
)

// A result that no line can carry ends its run alone.
func TestLongLinesEndTheirRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	p := s.serve("2")
	done := s.call("SET", "7")
	run := p.expect("run")
	other := s.call("GET", 1)
	second := p.expect("run")
	p.send(`{"run":"` + run["run"].(string) + `","ok":true,"result":"` + strings.Repeat("x", frames.MaxLine) + `"}`)
	assert.Equal(t, workers.CodeInternal, (<-done).code())
	p.send(`{"run":"` + second["run"].(string) + `","ok":true,"result":1}`)
	assert.JSONEq(t, "1", string((<-other).value))
	p.send(strings.Repeat("x", frames.MaxLine+1))
	assert.Equal(t, "invalid", p.expect("bye")["bye"].(map[string]any)["reason"])
}

// On stdout other output is mixed with frames: a line that is almost a frame is reported.
func TestLinesThatAreAlmostFrames(t *testing.T) {
	t.Parallel()
	s := newStage(t, testsupport.Miniredis(t))
	stray := make(chan string, 10)
	s.stray = func(line []byte) { stray <- string(line) }
	p := s.serve("1")
	done := s.call("SET", "7")
	name := p.expect("run")["run"].(string)
	p.send("progress: 50 %")
	assert.Equal(t, "progress: 50 %", <-stray)
	p.send(`{"level":"info"}`)
	assert.Equal(t, `{"level":"info"}`, <-stray)
	p.send(`{"run":` + name + `,"ok":true}`)
	s.log.Wait(t, "/run has the wrong type")
	p.send(`{"run":"` + name + `","result":1}`)
	assert.Equal(t, workers.CodeInternal, (<-done).code(), "it does not wait for the deadline")
	done = s.call("SET", "7")
	p.answer(`"ok":true,"retry":true`)
	assert.Equal(t, workers.CodeInternal, (<-done).code(), "one or the other")
	done = s.call("SET", "7")
	p.answer(`"ok":false,"error":{"code":"bad code"}`)
	assert.Equal(t, workers.CodeInternal, (<-done).code())
	assert.Empty(t, stray)
}
