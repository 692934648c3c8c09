package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func TestPathParametersHaveTheirDeclaredType(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for segment, id := range map[string]string{
		"12": "12", "-4": "-4", "007": "7", "+1": "1", "0": "0",
		"9007199254740993": "9007199254740993", "9223372036854775807": "9223372036854775807",
	} {
		s.got(`{"id":`+id+`}`, http.MethodGet, "/things/"+segment, "")
	}
	s.got(`"12"`, http.MethodGet, "/things/named/12", "")
	s.got(`"12"`, http.MethodGet, "/things/raw/12", "")
	s.runs.Store(0)
	for _, segment := range []string{"abc", "1.5", "1e3", "99999999999999999999", "0x10", "1_000", "%20", "1%20", "null", "%C2%B2", "''"} {
		a := s.refused(400, "BAD_REQUEST", http.MethodGet, "/things/"+segment, "")
		assert.Equal(t, []string{"id"}, a.faults(t), segment)
		assert.Equal(t, "things", a.Error.Service)
		assert.Equal(t, "GET_THING", a.Error.Action)
	}
	s.untouched()
}

func TestQueryParametersHaveTheirDeclaredType(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for query, result := range map[string]string{
		"":                            `{}`,
		"?":                           `{}`,
		"?limit=5":                    `{"limit":5}`,
		"?limit=9007199254740993":     `{"limit":9007199254740993}`,
		"?active=true&name=5":         `{"active":true,"name":"5"}`,
		"?ratio=0.5&ratio2=x":         `{"ratio":0.5}`,
		"?name=a%20b%2Bc+d":           `{"name":"a b+c d"}`,
		"?name=%F0%9F%8E%89":          `{"name":"🎉"}`,
		"?tags=a":                     `{"tags":["a"]}`,
		"?tags=a&tags=b,c":            `{"tags":["a","b,c"]}`,
		"?sizes=1&sizes=2":            `{"sizes":[1,2]}`,
		"?unknown=1&unknown=2&xx=%20": `{}`,
		"?Limit=5":                    `{}`,
	} {
		s.got(result, http.MethodGet, "/things"+query, "")
	}
	s.got(`{"filter":{"limit":5},"id":1}`, http.MethodGet, "/things/1/both?limit=5&id=9", "")
	s.got(`{"filter":{},"id":1}`, http.MethodGet, "/things/1/both?unknown=5", "")
	s.got(`{"id":4}`, http.MethodDelete, "/things/4?force=true", "")
	s.got(`"x 2"`, http.MethodGet, "/things/find?page=2&text=x", "")
	s.runs.Store(0)
	for query, faults := range map[string][]string{
		"/things?limit=abc":                  {"limit"},
		"/things?limit=":                     {"limit"},
		"/things?limit=1.5":                  {"limit"},
		"/things?limit=99999999999999999999": {"limit"},
		"/things?limit=1&limit=2":            {"limit"},
		"/things?active=yes":                 {"active"},
		"/things?active=TRUE":                {"active"},
		"/things?ratio=NaN":                  {"ratio"},
		"/things?ratio=1e999":                {"ratio"},
		"/things?ratio=%201":                 {"ratio"},
		"/things?ratio=null":                 {"ratio"},
		"/things?name=%FF":                   {"name"},
		"/things?tags=a&tags=%FF":            {"tags"},
		"/things?sizes=1&sizes=x":            {"sizes"},
		"/things?name=%zz":                   {"query"},
		"/things?active=1&limit=x&name=%FF":  {"active", "limit", "name"},
		"/things/x/both?limit=y":             {"id", "limit"},
		"/things/find":                       {"text", "page"},
		"/things/find?text=a":                {"page"},
		"/things/find?page=x":                {"page", "text"},
		"/things/find?text=a&page=1&page=1":  {"page"},
	} {
		a := s.refused(400, "BAD_REQUEST", http.MethodGet, query, "")
		assert.ElementsMatch(t, faults, a.faults(t), query+": "+a.body)
	}
	s.untouched()
}

func TestBodiesReachTheHandlerUnchanged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.do(http.MethodPost, "/things", `{"name":"n","size":9007199254740993,"tags":["a"]}`)
	assert.Equal(t, http.StatusCreated, a.status)
	assert.JSONEq(t, `{"name":"n","size":9007199254740993,"tags":["a"]}`, string(a.Result))
	for _, body := range []string{
		`{"n":9007199254740993,"f":1.0,"e":1e2,"big":123456789012345678901234567890}`,
		`"text"`, `[1,2]`, `null`, `17`, `{"a":"\u0000\ud83c\udf89"}`,
	} {
		s.got(`{"id":5,"body":`+body+`}`, http.MethodPut, "/things/5", body)
	}
	s.got(`{"id":5,"body":{"a":[1,2]}}`, http.MethodPut, "/things/5", " {\r\n\t\"a\": [1,\n2]}\n")
	s.got(`{"id":9007199254740993,"body":{}}`, http.MethodPut, "/things/9007199254740993", "")
	for _, media := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json", ""} {
		s.got(`{"id":5,"body":{}}`, http.MethodPut, "/things/5", `{}`, "Content-Type: "+media)
	}
	for _, body := range []string{"", "{}", " { } "} {
		s.got(`{"id":5}`, http.MethodPost, "/things/5/touch", body)
	}
	// Methods that take their object from the query do not read a body.
	s.got(`{"id":4}`, http.MethodDelete, "/things/4", `{"force":true}`)
}

// Invalid arguments never reach the mailbox: a real Redis counts all entries that were
// ever added.
func TestBadBodiesNeverReachTheMailbox(t *testing.T) {
	t.Parallel()
	s := startGateway(t, testsupport.StartRedis(t).URL(), "")
	s.work(s.things())
	s.awaitRoute("/things/count")
	added := s.entriesAdded()
	require.Positive(t, added)
	deep := strings.Repeat(`{"a":`, 10_001) + `1` + strings.Repeat(`}`, 10_001)
	for body, faults := range map[string][]string{
		`{`:                                      {"body"},
		`{"name":"a","size":1}}`:                 {"body"},
		`{"name":"a","size":1} {}`:               {"body"},
		`{"name":"a","size":1,}`:                 {"body"},
		`{'name':'a','size':1}`:                  {"body"},
		`{"name":"a","size":NaN}`:                {"body"},
		`{"name":"a","size":1e999}`:              {"body"},
		`{"name":"a","size":01}`:                 {"body"},
		` `:                                      {"body"},
		"\xef\xbb\xbf{}":                         {"body"},
		"{\"name\":\"\xff\",\"size\":1}":         {"body"},
		"{\"name\":\"\xed\xa0\x80\",\"size\":1}": {"body"},
		"{\"name\":\"a\x00b\",\"size\":1}":       {"body"},
		"\x00":                                   {"body"},
		deep:                                     {"body"},
		strings.Repeat(`[`, 10_000):              {"body"},
		strings.Repeat(`[`, 9_999) + strings.Repeat(`]`, 9_999): {"body"},
		`[{"name":"a","size":1}]`:                               {"body"},
		`null`:                                                  {"body"},
		`"name"`:                                                {"body"},
		`7`:                                                     {"body"},
		`{}`:                                                    {"name", "size"},
		``:                                                      {"name", "size"},
		`{"name":"a"}`:                                          {"size"},
		`{"name":"a","size":"1"}`:                               {"size"},
		`{"name":"a","size":1.5}`:                               {"size"},
		`{"name":"a","size":null}`:                              {"size"},
		`{"Name":"a","size":1}`:                                 {"name", "Name"},
		`{"name":"a","size":1,"ready":"true"}`:                  {"ready"},
		`{"name":"a","size":1,"tags":"a"}`:                      {"tags"},
		`{"name":"a","size":1,"tags":["a",1]}`:                  {"tags[1]"},
		`{"name":"a","size":1,"colour":"red"}`:                  {"colour"},
		`{"name":"a","size":1,"":1}`:                            {""},
		`{"name":1,"colour":"red","ready":0,"tags":{},"zz":[]}`: {"name", "size", "colour", "ready", "tags", "zz"},
	} {
		a := s.refused(400, "BAD_REQUEST", http.MethodPost, "/things", body)
		assert.ElementsMatch(t, faults, a.faults(t), "%.60q: %s", body, a.body)
		assert.Less(t, len(a.body), 2000, "%.60q", body)
	}
	for body, faults := range map[string][]string{
		`{"b":1,"a":2}`: {"a", "b"}, `[]`: {"body"}, `null`: {"body"}, `1`: {"body"}, `{`: {"body"},
	} {
		a := s.refused(400, "BAD_REQUEST", http.MethodPost, "/things/5/touch", body)
		assert.Equal(t, faults, a.faults(t), body)
	}
	a := s.refused(400, "BAD_REQUEST", http.MethodPut, "/things/x", `{`)
	assert.Equal(t, []string{"id", "body"}, a.faults(t))
	require.Equal(t, added, s.entriesAdded(), "something was added to the mailbox")
	s.untouched()
}

// entriesAdded returns the number of requests ever added to the mailbox of things.
func (s *stage) entriesAdded() int64 {
	s.t.Helper()
	info, err := s.conn.Redis().XInfoStream(s.ctx, s.conn.Keys.Requests("things")).Result()
	require.NoError(s.t, err)
	return info.EntriesAdded
}

func TestMediaTypesOtherThanJSONAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const body = `{"name":"a","size":1}`
	for _, header := range []string{
		"Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/xml",
		"Content-Type: application/json; charset=utf-16", "Content-Type: multipart/form-data; boundary=x", "Content-Type: application/jsonp", "Content-Type: text/json+json",
		"Content-Encoding: gzip", "Content-Encoding: deflate", "Content-Encoding: br",
	} {
		s.refused(415, "UNSUPPORTED_MEDIA_TYPE", http.MethodPost, "/things", body, header)
	}
	s.untouched()
}
