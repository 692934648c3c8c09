package replicas

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOf(t *testing.T) {
	t.Parallel()
	assert.Equal(t, State{Master: true, History: "0b2e", Online: 2, Fresh: 1}, Of("# Replication\r\nrole:master\r\nconnected_slaves:3\r\n"+
		"slave0:ip=127.0.0.1,port=1,state=online,offset=14,lag=1\r\nslave1:ip=127.0.0.1,port=2,state=online,offset=14,lag=4\r\n"+
		"slave2:ip=127.0.0.1,port=3,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:0b2e\r\nmaster_replid2:0000\r\nslave_read_only:1\r\n"))
	assert.Equal(t, State{History: "0b2e"}, Of("role:slave\r\nmaster_replid:0b2e\r\n"))
	assert.Zero(t, Of(""))
}
