package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/testsupport"
)

// cutReplies loses the replies to matching commands, again and again under load.
func cutReplies(t *testing.T, name string, set setting, line **testsupport.Proxy, matches ...string) {
	t.Helper()
	s := newStage(t, set)
	stop := s.load(8, usual)
	for i := range times(10, 200) {
		s.works(5)
		lost := (*line).DropNextReply(matches[i%len(matches)])
		s.fault()
		select {
		case <-lost:
		case <-time.After(patience):
			assert.Fail(t, "no such command passed", matches[i%len(matches)])
		}
	}
	s.works(20)
	stop()
	n := s.check(name, false)
	assert.Zero(t, n.unknown+n.dead+n.refused)
	assert.Zero(t, n.unsafe, "nothing unsafe ran again")
	assert.Less(t, n.slowest, 5*time.Second)
}

func TestLostAnswersToEnqueues(t *testing.T) {
	t.Parallel()
	var line *testsupport.Proxy
	cutReplies(t, "reply-cut", setting{gatewayURL: proxied(t, &line), idle: calmIdleLimit}, &line, "xadd", "fcall")
}

func TestLostAnswersToReads(t *testing.T) {
	t.Parallel()
	var line *testsupport.Proxy
	cutReplies(t, "read-cut", setting{workerURL: proxied(t, &line), idle: calmIdleLimit}, &line, "xreadgroup")
}

func TestLostAnswersToSettles(t *testing.T) {
	t.Parallel()
	var line *testsupport.Proxy
	cutReplies(t, "settle-cut", setting{workerURL: proxied(t, &line), idle: calmIdleLimit}, &line, "xdel", "fcall")
}
