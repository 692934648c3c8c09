package reach

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// setting returns a variable that the script check sets.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skip("run ./check: it sets " + name)
	}
	return value
}

func load(t *testing.T, file string) validator.Validator {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return v
}

func TestDocumentsAreValid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(setting(t, "MAILROOM_OPENAPI_DOCUMENTS"), "*.json"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if valid, problems := load(t, file).ValidateDocument(); !valid {
				for _, p := range problems {
					t.Errorf("%s: %s", p.Message, p.Reason)
					for _, e := range p.SchemaValidationErrors {
						t.Errorf("  %s at %s", e.Reason, e.KeywordLocation)
					}
				}
			}
		})
	}
}

// checked sends requests and holds each with its answer against a document.
type checked struct {
	t         *testing.T
	validator validator.Validator
	sent      [][2]string // method and path
}

func (c *checked) Do(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	c.sent = append(c.sent, [2]string{r.Method, r.URL.Path})
	response.Body = io.NopCloser(bytes.NewReader(body))
	if valid, problems := c.validator.ValidateHttpResponse(r, response); !valid {
		for _, p := range problems {
			c.t.Errorf("%s %s: %d: %s: %s: %s", r.Method, r.URL.Path, response.StatusCode, p.Message, p.Reason, body)
		}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
