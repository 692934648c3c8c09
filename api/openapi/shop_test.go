package openapi_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/openapi"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/examples/echo"
	"github.com/oskadev/mailroom/examples/shop"
)

// shopTable is the table of the shop and echo.
func shopTable(t testing.TB) *route.Table {
	t.Helper()
	s := shop.New(nil, "mailroom") // no request runs
	var manifests []*wire.Manifest
	for _, manifest := range []func() ([]byte, error){
		s.Users().Manifest, s.Items().Manifest, s.Vouchers().Manifest, s.Payments().Manifest, echo.Service(nil, "mailroom").Manifest,
	} {
		text, err := manifest()
		require.NoError(t, err)
		manifests = append(manifests, parse(t, string(text)))
	}
	return table(t, string(shop.Versions), manifests...)
}

func TestDocumentOfTheShop(t *testing.T) {
	t.Parallel()
	from := shopTable(t)
	doc, _ := build(t, from, openapi.Options{Auth: auth.Required})
	assert.Equal(t, "3.1.1", doc["openapi"])
	routes, _ := from.Routes("")
	operations := 0
	doc.operations(func(string, string, node) { operations++ })
	assert.Equal(t, len(routes)+2, operations, "all routes, and those of tickets")
	assert.Equal(t, []any{"v1", "v2", "v3"}, doc["x-mailroom-versions"])

	get := doc.object("paths", "/users/{id}", "get")
	assert.Equal(t, "USERS_GET_USER", get["operationId"])
	assert.Equal(t, "Returns a user", get["summary"])
	assert.Equal(t, []any{"users"}, get["tags"])
	assert.JSONEq(t, `[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}},
		{"$ref":"#/components/parameters/RequestId"},{"$ref":"#/components/parameters/IfNoneMatch"},{"$ref":"#/components/parameters/CacheControl"}]`, get.json(t, "parameters"))
	assert.Equal(t, `{"$ref":"#/components/responses/NotModified"}`, get.json(t, "responses", "304"))
	assert.Contains(t, get.json(t, "responses", "200", "headers"), "ETag")
	assert.Nil(t, get.at("responses", "202"))
	assert.Nil(t, get["security"], "it needs no scope: the document says what callers need")

	list := doc.object("paths", "/users", "get")
	assert.Contains(t, list.json(t, "parameters"), `{"description":"users per page, 1 to 100; defaults to 20","in":"query","name":"limit","required":false,"schema":{"type":["null","integer"]}}`)

	create := doc.object("paths", "/users", "post")
	assert.JSONEq(t, `{"$ref":"#/components/schemas/UsersCreateUserBody"}`, create.json(t, "requestBody", "content", "application/json", "schema"))
	assert.Equal(t, true, create.at("requestBody", "required"))
	assert.JSONEq(t, `["Ada"]`, doc.json(t, "components", "schemas", "UsersCreateUserBody", "properties", "name", "examples"))
	assert.Equal(t, `{"$ref":"#/components/responses/Accepted"}`, create.json(t, "responses", "202"))
	assert.Contains(t, create.json(t, "responses", "201", "headers"), "Location")
	assert.JSONEq(t, `{"$ref":"#/components/schemas/UsersCreateUserResult"}`, create.json(t, "responses", "201", "content", "application/json", "schema", "properties", "result"))
	assert.Contains(t, create.json(t, "parameters"), "#/components/parameters/IdempotencyKey")
	assert.JSONEq(t, `[{"apiKey":["users:write"]},{"bearer":["users:write"]}]`, create.json(t, "security"))
	assert.NotNil(t, create.at("responses", "403"))

	assert.Equal(t, "USERS_UPDATE_USER", doc.at("paths", "/users/{id}", "put", "operationId"))
	assert.Equal(t, "USERS_UPDATE_USER_2", doc.at("paths", "/users/{id}", "patch", "operationId"), "a second route of an action")
	assert.Nil(t, doc.at("components", "schemas", "UsersUpdateUserBody_2"), "both routes share their schemas")
	assert.Equal(t, "REQUESTS_CANCEL", doc.at("paths", "/requests/{id}", "delete", "operationId"))
}

func TestDocumentOfAVersion(t *testing.T) {
	t.Parallel()
	from := shopTable(t)
	doc, _ := build(t, from, openapi.Options{Version: "v3"})
	assert.Equal(t, "v3", doc.at("info", "version"))
	assert.Nil(t, doc.at("paths", "/users/{id}"))
	assert.Equal(t, "USERS_GET_USER", doc.at("paths", "/v3/users/{id}", "get", "operationId"), "a route that falls through")
	pay := doc.object("paths", "/v3/payments", "post")
	assert.Equal(t, "PAYMENTS_PAY", pay["operationId"], "that of the route which it replaces")
	assert.Equal(t, "Pays through A or B for what is there, and redeems the voucher", pay["summary"])
	assert.JSONEq(t, `["A","B","C"]`, doc.json(t, "components", "schemas", "PaymentsPayBody", "properties", "gateway", "enum"), "the body of the version")
	assert.NotNil(t, doc.at("components", "schemas", "PaymentsPayResult", "properties", "reference"), "the result of the step that answers")
	assert.Equal(t, []any{}, doc["security"], "nobody needs a credential")
	assert.Nil(t, pay["security"])
	_, found, err := openapi.Build(from, openapi.Options{Version: "v9"})
	require.NoError(t, err)
	assert.False(t, found)
}

func TestRoutesOfAVersionAlone(t *testing.T) {
	t.Parallel()
	doc, _ := build(t, table(t, `
versions:
  v1:
    deprecated: 2027-01-01
    sunset: 2027-06-30
    routes:
      GET /dashboards/:id/all:
        headers: [x-region, accept]
        steps:
          - name: thing
            call: things GET
            args: [path.id]
        result: '{"thing": thing, "region": headers["x-region"]}'
`, parse(t, `{"service":"things","version":"1","protocol":1,"actions":[{"name":"GET","safe":true,"routes":["GET /things/:id"],
		"args":[{"name":"id","in":"path","schema":{"type":"string"}}],"result":{"type":"string"},"deprecated":true}]}`)), openapi.Options{Version: "v1", Auth: auth.Optional})
	all := doc.object("paths", "/v1/dashboards/{id}/all", "get")
	assert.Equal(t, "GET_DASHBOARDS_BY_ID_ALL", all["operationId"])
	assert.Equal(t, []any{"dashboards"}, all["tags"])
	assert.Equal(t, true, all["deprecated"])
	assert.Equal(t, "Deprecated from 2027-01-01T00:00:00Z. Removed at 2027-06-30T00:00:00Z.", all["description"])
	assert.Contains(t, all.json(t, "parameters"), `"name":"x-region"`)
	assert.NotContains(t, all.json(t, "parameters"), `"name":"accept"`)
	assert.Equal(t, true, doc.at("paths", "/v1/things/{id}", "get", "deprecated"))
	assert.JSONEq(t, `[{},{"apiKey":[]},{"bearer":[]}]`, doc.json(t, "security"), "optional")
	assert.Contains(t, doc.json(t, "tags"), "Compositions of this version.")
}
