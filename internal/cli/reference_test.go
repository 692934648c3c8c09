package cli

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/reference/settings.md")

func TestSettingsReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "reference", "settings.md")
	want := settingsReference(model(t))
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, want, string(text), "%s is stale: run go generate ./internal/cli", file)
}

// settingsReference renders the flags of all commands. Commands with the same
// flags share a table.
func settingsReference(app *kong.Application) string {
	global := make(map[string]*kong.Flag)
	var globalNames []string
	byTable := make(map[string][]string) // table → commands
	var tables []string
	for _, command := range app.Leaves(false) {
		var own []*kong.Flag
		for _, flag := range command.Flags {
			switch {
			case flag.Group == nil || flag.Group.Key != globalGroup:
				own = append(own, flag)
			case global[flag.Name] == nil:
				global[flag.Name] = flag
				globalNames = append(globalNames, flag.Name)
			}
		}
		if len(own) == 0 {
			continue
		}
		table := settingsTable(own)
		if byTable[table] == nil {
			tables = append(tables, table)
		}
		byTable[table] = append(byTable[table], strings.ReplaceAll(command.Path(), app.Name+" ", ""))
	}
	globalFlags := make([]*kong.Flag, len(globalNames))
	for i, name := range globalNames {
		globalFlags[i] = global[name]
	}
	var page strings.Builder
	page.WriteString(settingsHead)
	page.WriteString(settingsTable(globalFlags))
	for _, table := range tables {
		commands := byTable[table]
		slices.Sort(commands)
		fmt.Fprintf(&page, "\n## mailroom %s\n\n%s", strings.Join(commands, ", "), table)
	}
	return page.String()
}

const settingsHead = `<!-- Generated from the flags by "go generate ./internal/cli". Do not edit. -->

# Settings

A flag wins over an environment variable, which wins over a key of the config file. ` + "`--config`" + ` or
` + "`MAILROOM_CONFIG`" + ` names the config file: YAML, one file for all commands. A flag that takes a list
can be repeated; its key can be a list.

Flags can stand anywhere on the line: before the command, between its words, between its arguments.
` + "`--flag value`" + ` and ` + "`--flag=value`" + ` mean the same. ` + "`--`" + ` ends flags.

An unknown flag or key, or an invalid value, is an error with exit code 2. An unknown ` + "`MAILROOM_`" + `
variable is a warning. A setting of another command is ignored.

## Every command

` + "`mailroom dev`" + ` runs a Redis of its own and does not take the ` + "`--redis`" + ` flags.

`

func settingsTable(flags []*kong.Flag) string {
	var table strings.Builder
	table.WriteString("| flag | variable | config key | default | meaning |\n|---|---|---|---|---|\n")
	for _, flag := range flags {
		name, value := flag.Name, flag.Default
		switch {
		case flag.Tag.Negatable != "":
			name = "[no-]" + name
		case flag.IsBool():
			value = "false"
		}
		env, key := variable(flag.Name), flag.Name
		if onlyTyped(flag.Name) {
			env, key = "", ""
		}
		if flag.Name == "config" {
			key = ""
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", code("--"+name), code(env), code(key), code(value), strings.ReplaceAll(flag.Help, "|", `\|`))
	}
	return table.String()
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// The page about security names the tests of each bound: they exist.
func TestSecurityNamesTests(t *testing.T) {
	t.Parallel()
	top := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(top, "docs", "explanation", "security.md"))
	require.NoError(t, err)
	known := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != top:
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, match := range declared.FindAllSubmatch(text, -1) {
			known[string(match[1])] = true
		}
		return err
	})
	require.NoError(t, err)
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(page), -1)
	assert.Greater(t, len(named), 50)
	for _, name := range named {
		assert.True(t, known[name], "there is no %s", name)
	}
}
