package cli

import (
	"io"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(io.Discard, io.Discard, func(int) {})
	require.NoError(t, err)
	return parser.Model
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	t.Parallel()
	app := model(t)
	call := []string{"call", "--redis=u", "--", "users", "GET_USER", "1"}
	for _, c := range []struct{ given, want []string }{
		{[]string{"--redis", "u", "call", "users", "GET_USER", "1"}, call},
		{[]string{"--redis=u", "call", "users", "GET_USER", "1"}, call},
		{[]string{"call", "--redis", "u", "users", "GET_USER", "1"}, call},
		{[]string{"call", "users", "--redis", "u", "GET_USER", "1"}, call},
		{[]string{"call", "users", "GET_USER", "--redis=u", "1"}, call},
		{[]string{"call", "users", "GET_USER", "1", "--redis", "u"}, call},
		{[]string{"dead", "--log-level", "warn", "list", "users"}, []string{"dead", "list", "--log-level=warn", "--", "users"}},
		{[]string{"dead", "--log-level=warn", "list", "users"}, []string{"dead", "list", "--log-level=warn", "--", "users"}},
		{[]string{"dead", "drop", "users", "1-1", "--namespace", "n", "2-2"}, []string{"dead", "drop", "--namespace=n", "--", "users", "1-1", "2-2"}},
		{[]string{"--listen", ":0"}, []string{"--listen=:0"}},
		{[]string{"--log-level", "debug", "--no-admission", "dev", "--listen", ":0"}, []string{"dev", "--log-level=debug", "--no-admission", "--listen=:0"}},
		{[]string{"--help", "call"}, []string{"call", "--help"}},
		// A bool takes no value.
		{[]string{"services", "--json", "users"}, []string{"services", "--json", "--", "users"}},
		{[]string{"services", "--json=false", "users"}, []string{"services", "--json=false", "--", "users"}},
		// The name of a command is an argument where no command can stand.
		{[]string{"call", "call", "dead", "list"}, []string{"call", "--", "call", "dead", "list"}},
		{[]string{"dead", "users", "list"}, []string{"dead", "--", "users", "list"}},
		// Negative numbers, a hyphen alone, and all after "--" are arguments.
		{[]string{"call", "a", "B", "-1", "-.5", "-2e3", "-"}, []string{"call", "--", "a", "B", "-1", "-.5", "-2e3", "-"}},
		{[]string{"call", "a", "B", "--", "--async", "-x", "--"}, []string{"call", "--", "a", "B", "--async", "-x", "--"}},
		{[]string{"bench", "--arg", "-5", "--rate=-1"}, []string{"bench", "--arg=-5", "--rate=-1"}},
		{nil, nil},
	} {
		l, err := sortLine(app, c.given)
		require.NoError(t, err, c.given)
		assert.Equal(t, c.want, l.args(), c.given)
	}
	for _, args := range [][]string{{"call", "a", "B", "--redis"}, {"--redis", "--async", "call", "a", "B"}, {"call", "--redis", "--", "a", "B"}} {
		_, err := sortLine(app, args)
		require.EqualError(t, err, "--redis has no value: write --redis=VALUE", args)
	}
}

// sortLine looks flags up by name before it knows the command.
func TestFlagsOfOneNameTakeAValueEverywhereOrNowhere(t *testing.T) {
	t.Parallel()
	app := model(t)
	takes := valueFlags(app)
	eachFlag(app.Node, func(flag *kong.Flag) {
		assert.Equal(t, takes[flag.Name], !flag.IsBool(), flag.Name)
	})
}

func TestGlobalFlagsReachTheCommand(t *testing.T) {
	t.Parallel()
	url := "redis://" + testsupport.FreeAddr(t) // no server there
	for _, args := range [][]string{
		{"--redis", url, "call", "users", "GET_USER", "1"},
		{"--redis=" + url, "call", "users", "GET_USER", "1"},
		{"call", "users", "--redis", url, "GET_USER", "-1"},
		{"call", "users", "GET_USER", "1", "--redis=" + url, "2", "--", "-x"},
		{"--redis", url, "dead", "list", "users"},
		{"dead", "--redis", url, "list", "users"},
		{"dead", "list", "--redis=" + url, "users"},
		{"--log-format", "json", "--config", config(t, "namespace: n\n"), "--redis", url, "keys", "--log-level=error", "--namespace", "m", "list"},
	} {
		_, errs, code := mailroom(t, args...)
		assert.Equal(t, exitUndelivered, code, args)
		assert.Contains(t, errs, url, args)
	}
	for _, flag := range [][]string{{"--redis", url}, {"--namespace=n"}, {"--log-level", "warn"}, {"--log-format=json"}, {"--config", config(t, "namespace: n\n")}} {
		for _, command := range [][]string{{"version"}, {"versions", "show"}} {
			_, errs, code := mailroom(t, append(flag, command...)...)
			assert.Zero(t, code, errs)
			_, errs, code = mailroom(t, append(command, flag...)...)
			assert.Zero(t, code, errs)
		}
	}
}

func TestUsageErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown command "sevices"; mailroom --help lists the commands`: {"sevices"},
		"unknown flag --lisen, did you mean":                            {"api", "--lisen", "x"},
		"see mailroom dead list --help":                                 {"dead", "list", "users", "--alll"},
		`expected "<action>"; see mailroom call --help`:                 {"call", "users"},
		"dev runs a Redis of its own":                                   {"--redis", "redis://127.0.0.1:1"},
		"unknown flag --redis-tls-ca; dev":                              {"dev", "--redis-tls-ca=x"},
		"unknown flag -x":                                               {"call", "users", "GET_USER", "-x"},
		"unexpected argument foo; see mailroom acl --help":              {"acl", "foo"},
	} {
		_, errs, code := mailroom(t, args...)
		assert.Equal(t, exitUsage, code, args)
		assert.Contains(t, errs, want, args)
	}
}
