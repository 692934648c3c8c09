package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The HTTP library reuses the memory of a request once the handler returns: a value that was
// kept without a copy would change into that of another request.
func TestEveryCallerGetsItsOwn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const callers, calls = 200, 5
	var group sync.WaitGroup
	for caller := range callers {
		requests := make([]*http.Request, 0, calls)
		want := make([]string, 0, calls)
		for i := range calls {
			id := strconv.Itoa(1 + caller*calls + i)
			// Of every length, so that one request does not cover another's bytes.
			text := strings.Repeat(string(rune('a'+caller%26)), caller*i%700) + id
			method, path, body, result := ownCall(i, id, text)
			requests = append(requests, s.request(method, path, body, "X-Request-Id: "+id))
			want = append(want, result)
		}
		group.Go(func() {
			for i, request := range requests {
				a, err := s.send(request)
				if err != nil {
					t.Errorf("%s: %v", request.URL, err)
					return
				}
				assert.Equal(t, http.StatusOK, a.status, a.body)
				assert.Equal(t, want[i], string(a.Result))
				assert.Equal(t, request.Header.Get("X-Request-Id"), a.header.Get("X-Request-Id"))
			}
		})
	}
	group.Wait()
}

func ownCall(kind int, id, text string) (method, path, body, result string) {
	switch kind {
	case 0:
		body = fmt.Sprintf(`{"text":%q}`, text)
		return http.MethodPut, "/things/" + id, body, `{"id":` + id + `,"body":` + body + `}`
	case 1:
		return http.MethodGet, "/things/named/" + text, "", `"` + text + `"`
	case 2:
		return http.MethodGet, "/things?name=" + text + "&limit=" + id + "&tags=" + id, "",
			`{"limit":` + id + `,"name":"` + text + `","tags":["` + id + `"]}`
	case 3:
		return http.MethodPost, "/things/" + id + "/touch", "", `{"id":` + id + `}`
	default:
		return http.MethodGet, "/things/named/%" + fmt.Sprintf("%X", text[0]) + text[1:], "", `"` + text + `"`
	}
}
