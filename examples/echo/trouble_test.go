package echo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/workers"
)

// requireRefused requires that err is an Error with this code and status.
func requireRefused(t *testing.T, err error, code workers.Code, status int) {
	t.Helper()
	var refused *workers.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
	require.Equal(t, status, refused.Status)
}

func TestFailReturnsTheGivenError(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 418, 599} {
		_, err := handlers{}.fail(t.Context(), Failure{Code: "TEAPOT_2", Status: status, Message: "short and stout"})
		requireRefused(t, err, "TEAPOT_2", status)
		require.ErrorContains(t, err, "short and stout")
	}
}

func TestFailRefusesInvalidErrors(t *testing.T) {
	t.Parallel()
	for _, as := range []Failure{
		{Code: "OK", Status: 200},
		{Code: "OK", Status: 600},
		{Code: "", Status: 500},
		{Code: "lower", Status: 500},
		{Code: "2MANY", Status: 500},
		{Code: "TWO\nLINES", Status: 500},
	} {
		_, err := handlers{}.fail(t.Context(), as)
		requireRefused(t, err, "BAD_REQUEST", 400)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { _, _ = handlers{}.fallOver(t.Context()) })
}

func TestExit(t *testing.T) {
	t.Parallel()
	var h handlers
	code := 0
	withExit(func(c int) { code = c })(&h)
	_, err := h.crash(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, code)
}
