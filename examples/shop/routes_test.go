package shop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

func TestActionsAndRoutes(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"users GET_USER":          {"GET /users/:id"},
		"users LIST_USERS":        {"GET /users"},
		"users INVALIDATE":        nil,
		"users COUNT_USERS":       {"GET /users/count"},
		"users CREATE_USER":       {"POST /users"},
		"users UPDATE_USER":       {"PUT /users/:id", "PATCH /users/:id"},
		"users DELETE_USER":       {"DELETE /users/:id"},
		"users SUSPEND_USER":      {"POST /users/:id/suspend"},
		"users CHECK_PURCHASABLE": {"GET /users/:id/purchasable"},
		"items GET_ITEM":          {"GET /items/:id"},
		"items LIST_ITEMS":        {"GET /items"},
		"items CHECK_AVAILABLE":   {"GET /items/:id/available"},
		"items RESERVE_ITEM":      {"POST /items/:id/reserve"},
		"vouchers GET_VOUCHER":    {"GET /vouchers/:code"},
		"vouchers CHECK_UNUSED":   {"GET /vouchers/:code/unused"},
		"vouchers REDEEM_VOUCHER": {"POST /vouchers/:code/redeem"},
		"payments PAY":            {"POST /payments"},
		"payments GET_PAYMENT":    {"GET /payments/:id"},
		"payments LIST_PAYMENTS":  {"GET /payments"},
	}
	got := map[string][]string{}
	services := []string{}
	for _, service := range New(connect(t, testsupport.Miniredis(t)), "test").Services() {
		text, err := service.Manifest()
		require.NoError(t, err)
		manifest, err := wire.ParseManifest(text)
		require.NoError(t, err)
		services = append(services, manifest.Service)
		for _, action := range manifest.Actions {
			require.NotEmpty(t, action.Summary, action.Name)
			got[manifest.Service+" "+action.Name] = action.Routes
		}
	}
	require.Equal(t, []string{"users", "items", "vouchers", "payments"}, services)
	require.Equal(t, want, got)
}
