package types

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNames(t *testing.T) {
	t.Parallel()
	plain, initialisms := typescript{}.names(), golang{}.names()
	for text, want := range map[string][4]string{
		"GET_USER":   {"GetUser", "getUser", "get_user", "GetUser"},
		"userId":     {"UserId", "userId", "user_id", "UserID"},
		"HTTPServer": {"HttpServer", "httpServer", "http_server", "HTTPServer"},
		"2nd-try":    {"X2ndTry", "x2ndtry", "x2nd_try", "X2ndTry"},
		"Ж":          {"U416", "u416", "u416", "U416"},
		"!":          {"X", "x", "x", "X"},
	} {
		assert.Equal(t, want, [4]string{pascal(text, plain), camel(text, plain), snake(text, plain), pascal(text, initialisms)}, text)
	}
	s := newScope([]string{"class"})
	for _, want := range []string{"class_", "class_2"} {
		assert.Equal(t, want, s.take("class"))
	}
	for _, want := range []string{"v2", "v2_2", "v2_3"} {
		assert.Equal(t, want, s.take("v2"))
	}
}

func TestCommentsStayComments(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a * / b c d", comment("a */ b\nc\u2028d\u202e"))
	assert.Equal(t, "Returns it.", sentence("Returns it"))
	assert.Equal(t, "It does!", sentence("It does!"))
}
