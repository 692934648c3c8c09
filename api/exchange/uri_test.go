package exchange

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEncodeURI(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"":                          "",
		"/users/7?a=b&c=%20#d":      "/users/7?a=b&c=%20#d",
		"https://[::1]:80/~x;y=(z)": "https://[::1]:80/~x;y=(z)",
		"/users/Jörg Ä":             "/users/J%C3%B6rg%20%C3%84",
		"/a\r\nSet-Cookie: b":       "/a%0D%0ASet-Cookie:%20b",
		"/50%":                      "/50%25",
		"/50%zz%4":                  "/50%25zz%254",
		"/\"<>\\^`{|}\x00\x7f\xff":  "/%22%3C%3E%5C%5E%60%7B%7C%7D%00%7F%FF",
	} {
		assert.Equal(t, want, EncodeURI(location), "%q", location)
		assert.Equal(t, want, EncodeURI(want), "encoding twice changes nothing")
	}
}
