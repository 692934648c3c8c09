package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/admin"
)

// A gateway is killed after a payment and before its voucher is redeemed. Another gateway
// continues: every payment has one record, its voucher is redeemed, and a retry with the same
// key gets the same outcome.
func TestGatewayKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{gateways: 1, workers: 2, idle: calmIdleLimit, examples: true})
	vouchers := "mailroom:{vouchers}:shop:record:"
	n := times(3, 50)
	for i := range n {
		s.gateways[0].Kill()
		// The gateway sends the composition, three checks, the payment and the redemption, in this order.
		s.gateways[0] = s.gateway(0, envHook+"=enqueue:kill:6")
		s.serves(0)
		s.eventually("it knows the shop", func() bool {
			return s.status(http.MethodOptions, 0, "/vouchers/X/redeem") == http.StatusNoContent && s.status(http.MethodOptions, 0, "/payments") == http.StatusNoContent &&
				s.status(http.MethodOptions, 0, "/items/1/reserve") == http.StatusNoContent && s.status(http.MethodOptions, 0, "/users/1/suspend") == http.StatusNoContent
		})
		voucher, key := fmt.Sprintf("GIFT%d", i), fmt.Sprintf("order-%d", i)
		require.NoError(t, s.conn.Redis().HSet(t.Context(), vouchers+voucher, "code", voucher, "used", 0).Err())
		body := map[string]any{"user_id": 1, "item_id": 1, "voucher": voucher, "gateway": "A", "amount": 100 + i}
		gone := s.gateways[0].Gone()
		told := make(chan int, 1)
		go func() {
			status, _ := s.once(0, "/v3/payments", key, body)
			told <- status
		}()
		<-gone
		assert.Zero(t, <-told, "its gateway died")
		used, err := s.conn.Redis().HGet(t.Context(), vouchers+voucher, "used").Result()
		require.NoError(t, err)
		assert.Equal(t, "0", used, "the voucher is not redeemed yet")
		assert.Equal(t, i+1, s.payments(), "the payment is made")

		s.gateways[0] = s.gateway(0)
		s.serves(0)
		status, said := s.insist(0, "/v3/payments", key, body)
		require.Equal(t, http.StatusCreated, status, "%s", said)
		var outcome struct {
			Result struct {
				ID      int64  `json:"id"`
				Voucher string `json:"voucher"`
			} `json:"result"`
		}
		require.NoError(t, json.Unmarshal(said, &outcome))
		assert.Equal(t, voucher, outcome.Result.Voucher)
		assert.Equal(t, i+1, s.payments(), "still one")
		redeemed, err := s.conn.Redis().HGet(t.Context(), vouchers+voucher, "payment_id").Int64()
		require.NoError(t, err)
		assert.Equal(t, outcome.Result.ID, redeemed, "for this payment")
		_, again := s.insist(0, "/v3/payments", key, body)
		assert.Equal(t, string(said), string(again))
	}
	stats, err := admin.ReadStats(t.Context(), s.conn, "compositions")
	require.NoError(t, err)
	assert.Zero(t, stats.Backlog+stats.Pending+stats.Dead)
	t.Logf("composition: %d gateways killed between payment and redemption, each payment made once and its voucher redeemed", n)
}

// payments returns the number of payment records.
func (s *stage) payments() int {
	s.t.Helper()
	count := 0
	keys, err := s.conn.Redis().Keys(s.t.Context(), "mailroom:{payments}:shop:record:*").Result()
	require.NoError(s.t, err)
	for _, key := range keys {
		if strings.HasPrefix(key, "mailroom:{payments}:shop:record:") {
			count++
		}
	}
	return count
}
