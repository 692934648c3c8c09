package reach

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	shop "github.com/oskadev/mailroom/api/openapi/reach/generated"
)

// TestEveryRouteOfTheShop calls the routes by the client that oapi-codegen makes of the
// document.
func TestEveryRouteOfTheShop(t *testing.T) {
	t.Parallel()
	gateway, file := setting(t, "MAILROOM_OPENAPI_GATEWAY"), filepath.Join(setting(t, "MAILROOM_OPENAPI_DOCUMENTS"), "openapi.json")
	transport := &checked{t: t, validator: load(t, file)}
	c, err := shop.NewClientWithResponses(gateway, shop.WithHTTPClient(transport))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	created := must(c.USERSCREATEUSERWithResponse(ctx, nil, shop.UsersCreateUserBody{Name: "Ada", Email: "ada@example.com"}))(t)
	equal(t, created.JSON201.Result.Name, "Ada")
	id := created.JSON201.Result.Id
	equal(t, must(c.USERSGETUSERWithResponse(ctx, 1, nil))(t).JSON200.Result.Name, "Oska")
	limit := 2
	must(c.USERSLISTUSERSWithResponse(ctx, &shop.USERSLISTUSERSParams{Limit: &limit}))(t)
	must(c.USERSCOUNTUSERSWithResponse(ctx, nil))(t)
	name := "Grace"
	equal(t, must(c.USERSUPDATEUSERWithResponse(ctx, id, nil, shop.UsersUpdateUserBody{Name: &name}))(t).JSON200.Result.Name, "Grace")
	equal(t, must(c.USERSUPDATEUSER2WithResponse(ctx, id, nil, shop.UsersUpdateUserBody{Name: &name}))(t).JSON200.Result.Id, id)
	equal(t, must(c.USERSCHECKPURCHASABLEWithResponse(ctx, id, nil))(t).JSON200.Result.Purchasable, true)
	equal(t, must(c.USERSSUSPENDUSERWithResponse(ctx, id, nil))(t).JSON200.Result.Status, "suspended")
	refused := must(c.USERSCHECKPURCHASABLEWithResponse(ctx, id, nil))(t)
	equal(t, refused.StatusCode(), http.StatusForbidden)
	equal(t, refused.JSONDefault.Error.Code, "USER_SUSPENDED")
	equal(t, must(c.USERSDELETEUSERWithResponse(ctx, id, nil))(t).JSON200.Result.Deleted, true)

	must(c.ITEMSLISTITEMSWithResponse(ctx, nil))(t)
	equal(t, must(c.ITEMSGETITEMWithResponse(ctx, 1, nil))(t).JSON200.Result.Id, 1)
	equal(t, must(c.ITEMSCHECKAVAILABLEWithResponse(ctx, 1, nil))(t).JSON200.Result.Available, true)
	equal(t, must(c.ITEMSRESERVEITEMWithResponse(ctx, 1, nil, shop.ItemsReserveItemBody{}))(t).JSON200.Result.Reserved, 1)

	paid := must(c.PAYMENTSPAYWithResponse(ctx, nil, shop.PaymentsPayBody{UserId: 1, ItemId: 1, Gateway: "A", Amount: 5}))(t)
	equal(t, paid.JSON201.Result.Amount, 5)
	equal(t, must(c.PAYMENTSGETPAYMENTWithResponse(ctx, paid.JSON201.Result.Id, nil))(t).JSON200.Result.Gateway, "A")
	must(c.PAYMENTSLISTPAYMENTSWithResponse(ctx, &shop.PAYMENTSLISTPAYMENTSParams{UserId: 1}))(t)

	equal(t, must(c.VOUCHERSGETVOUCHERWithResponse(ctx, "WELCOME10", nil))(t).JSON200.Result.Code, "WELCOME10")
	equal(t, must(c.VOUCHERSCHECKUNUSEDWithResponse(ctx, "USED10", nil))(t).StatusCode(), http.StatusConflict)
	equal(t, must(c.VOUCHERSREDEEMVOUCHERWithResponse(ctx, "USED10", nil, shop.VouchersRedeemVoucherBody{PaymentId: 1}))(t).StatusCode(), http.StatusConflict)

	equal(t, must(c.ECHOGETECHOWithResponse(ctx, 1, nil))(t).JSON200.Result.Name, "Oska")
	equal(t, must(c.ECHOECHOWithResponse(ctx, nil, shop.EchoEchoBody{"a": 1}))(t).StatusCode(), http.StatusOK)
	prefer := "respond-async"
	later := must(c.ECHOSLEEPWithResponse(ctx, &shop.ECHOSLEEPParams{Prefer: &prefer}, shop.EchoSleepBody{Ms: 1}))(t)
	ticket := strings.TrimPrefix(later.HTTPResponse.Header.Get("Location"), "/requests/")
	wait := 10
	equal(t, must(c.REQUESTSGETWithResponse(ctx, ticket, &shop.REQUESTSGETParams{Wait: &wait}))(t).JSON200.Result.State, "done")
	equal(t, must(c.REQUESTSCANCELWithResponse(ctx, ticket, nil))(t).StatusCode(), http.StatusConflict)
	equal(t, must(c.ECHOCACHEDWithResponse(ctx, 7, nil))(t).JSON200.Result.Id, 7)
	must(c.ECHOTOUCHWithResponse(ctx, 7, nil))(t)
	must(c.ECHOAPPENDWithResponse(ctx, 7, nil, shop.EchoAppendBody{Value: "x"}))(t)
	must(c.ECHOLOGWithResponse(ctx, 7, nil))(t)
	equal(t, must(c.ECHOFAILWithResponse(ctx, nil, shop.EchoFailBody{Code: "OWN_CODE", Status: 418, Message: "m"}))(t).JSONDefault.Error.Code, "OWN_CODE")
	equal(t, must(c.ECHOPANICWithResponse(ctx, nil))(t).StatusCode(), http.StatusInternalServerError)
	checkAllCalled(t, file, transport.sent)
}

// must returns a function that returns the answer of a call.
func must[A any](answer A, err error) func(*testing.T) A {
	return func(t *testing.T) A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func equal[V comparable](t *testing.T, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// checkAllCalled checks that every operation of a document was called.
func checkAllCalled(t *testing.T, file string, sent [][2]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\\\{[^/]*\\\}`)
	all := 0
	for path, operations := range doc.Paths {
		pattern := regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
		for method := range operations {
			all++
			if !slices.ContainsFunc(sent, func(s [2]string) bool { return strings.EqualFold(s[0], method) && pattern.MatchString(s[1]) }) {
				t.Errorf("nothing called %s %s", method, path)
			}
		}
	}
	t.Logf("%d operations were called by the client of oapi-codegen", all)
}
