package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

const envPrefix = "MAILROOM_"

// settings give the flags that are not on the command line: the environment
// wins over the config file.
type settings struct {
	env      map[string]string
	fileName string
	file     map[string]any
}

// readSettings collects the environment and reads the config file, where
// --config or MAILROOM_CONFIG names one.
func readSettings(args, env []string) (*settings, error) {
	s := &settings{env: make(map[string]string)}
	for _, pair := range env {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) {
			s.env[name] = value
		}
	}
	s.fileName = s.env[envPrefix+"CONFIG"]
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			s.fileName = value
		} else if arg == "--config" && i+1 < len(args) {
			s.fileName = args[i+1]
		}
	}
	if s.fileName == "" {
		return s, nil
	}
	text, err := os.ReadFile(s.fileName) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	if err := yaml.Unmarshal(text, &s.file); err != nil {
		return nil, fmt.Errorf("config file %s: %s", s.fileName, yaml.FormatError(err, false, false))
	}
	return s, nil
}

// variable is the name of a flag's environment variable.
func variable(flag string) string {
	if flag == "redis" {
		return envPrefix + "REDIS_URL"
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// flagNames lists the flags of all commands: a config file may serve them all.
func flagNames(app *kong.Application) []string {
	var names []string
	var collect func(node *kong.Node)
	collect = func(node *kong.Node) {
		for _, flag := range node.Flags {
			if flag.Name != "help" && flag.Name != "config" && !onlyTyped(flag.Name) {
				names = append(names, flag.Name)
			}
		}
		for _, child := range node.Children {
			collect(child)
		}
	}
	collect(app.Node)
	slices.Sort(names)
	return slices.Compact(names)
}

// onlyTyped names the flags that are meant for one command, and never come from
// elsewhere: which letters to drop, what a new key may do.
func onlyTyped(flag string) bool {
	return slices.Contains([]string{"all", "name", "scope", "tenant", "expires"}, flag)
}

// Validate refuses a config file with a key that no command has.
func (s *settings) Validate(app *kong.Application) error {
	known := flagNames(app)
	for key := range s.file {
		if !slices.Contains(known, key) {
			return fmt.Errorf("config file %s: unknown key %q; known are %s", s.fileName, key, strings.Join(known, ", "))
		}
	}
	return nil
}

// Resolve finds the value of a flag.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if onlyTyped(flag.Name) {
		return nil, nil
	}
	if value, ok := s.env[variable(flag.Name)]; ok {
		return value, nil
	}
	switch value := s.file[flag.Name].(type) {
	case nil:
		return nil, nil
	case string, bool:
		return value, nil
	case []any:
		if flag.IsSlice() {
			return value, nil
		}
		return nil, fmt.Errorf("config file %s: key %q wants one value", s.fileName, flag.Name)
	case map[string]any:
		return nil, fmt.Errorf("config file %s: key %q wants one value", s.fileName, flag.Name)
	default:
		return fmt.Sprint(value), nil
	}
}

// unknownEnv lists the variables that begin like ours and that no command
// knows; the names only, since a value may be a secret.
func (s *settings) unknownEnv(app *kong.Application) []string {
	known := []string{envPrefix + "CONFIG"}
	for _, name := range flagNames(app) {
		known = append(known, variable(name))
	}
	var unknown []string
	for name := range s.env {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, envPrefix+"TEST_") {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
