package shop

import (
	"context"
	"fmt"
	"net/http"

	"github.com/oskadev/mailroom/workers"
)

// Payments returns the service that charges through payment providers and records the payments.
func (s *Shop) Payments() *workers.Service {
	payments := workers.NewService("payments", workers.WithVersion(version))
	h := newPaymentHandlers(newPaymentStore(s.rdb, s.namespace))

	workers.Handle1(payments, "PAY", h.pay,
		workers.Route("POST /payments"), workers.Scope("payments:write"), workers.Summary("Pays for an item"),
		workers.Example(NewPayment{UserID: 1, ItemID: 1, Voucher: "WELCOME10", Gateway: "A", Amount: 1000}))
	workers.Handle1(payments, "GET_PAYMENT", h.store.get,
		workers.Route("GET /payments/:id"), workers.Summary("Returns a payment"))
	workers.Handle1(payments, "LIST_PAYMENTS", h.list,
		workers.Route("GET /payments"), workers.Summary("Lists the latest payments of a user"))
	return payments
}

// paymentHandlers implements the actions that do more than call the store.
type paymentHandlers struct {
	store     paymentStore
	providers map[string]provider
}

func newPaymentHandlers(store paymentStore) paymentHandlers {
	return paymentHandlers{
		store:     store,
		providers: map[string]provider{"A": providerA{}, "B": providerB{}, "C": providerC{}},
	}
}

// pay charges first, and then records the payment. If the worker is lost in between, the request is delivered again, and
// the provider recognizes the charge by the ID of the request.
func (h paymentHandlers) pay(ctx context.Context, in NewPayment) (Payment, error) {
	through, known := h.providers[in.Gateway]
	var f form
	f.require(in.UserID >= 1, "user_id", "must be the id of a user")
	f.require(in.ItemID >= 1, "item_id", "must be the id of an item")
	f.short("voucher", in.Voucher)
	f.require(known, "gateway", "must be A, B or C")
	f.require(in.Amount >= 1, "amount", "must be more than 0")
	if err := f.err(); err != nil {
		return Payment{}, err
	}

	reference, err := workers.Retry(ctx, func() (string, error) {
		return through.charge(ctx, workers.RequestID(ctx), in.Amount)
	})
	if err != nil {
		return Payment{}, err
	}
	payment, err := h.store.create(ctx, in, reference)
	if err != nil {
		return Payment{}, err
	}
	workers.SetStatus(ctx, http.StatusCreated)
	workers.SetLocation(ctx, fmt.Sprintf("/payments/%d", payment.ID))
	return payment, nil
}

func (h paymentHandlers) list(ctx context.Context, query PaymentQuery) (PaymentList, error) {
	return h.store.list(ctx, query.UserID)
}
