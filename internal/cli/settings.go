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

// settings holds the values of flags that are not on the command line. The
// environment wins over the config file.
type settings struct {
	env      map[string]string
	fileName string
	file     map[string]any
}

// readSettings collects the environment and reads the config file that
// MAILROOM_CONFIG names, unless --config names another.
func readSettings(config string, env []string) (*settings, error) {
	s := &settings{env: make(map[string]string)}
	for _, pair := range env {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) {
			s.env[name] = value
		}
	}
	if s.fileName = config; config == "" {
		s.fileName = s.env[envPrefix+"CONFIG"]
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

// variable returns the name of the environment variable of a flag.
func variable(flag string) string {
	if flag == "redis" {
		return envPrefix + "REDIS_URL"
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// flagNames lists the flags that the environment or the config file can set, of
// all commands: one config file serves them all.
func flagNames(app *kong.Application) []string {
	var names []string
	eachFlag(app.Node, func(flag *kong.Flag) {
		if flag.Name != "help" && flag.Name != "config" && !onlyTyped(flag.Name) {
			names = append(names, flag.Name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// onlyTyped says whether a flag counts only on the command line, because it
// belongs to one call of one command: --all, the name of a new key, or a file to write.
func onlyTyped(flag string) bool {
	return slices.Contains([]string{
		"all", "name", "scope", "tenant", "expires", "lang", "manifest", "out", "package", "version",
		"run", "native", "frames", "known-failing", "junit", "certificate", "level", "parallel", "check-limit",
	}, flag)
}

// Validate rejects a config file with a key that no command has.
func (s *settings) Validate(app *kong.Application) error {
	known := flagNames(app)
	for key := range s.file {
		if !slices.Contains(known, key) {
			return fmt.Errorf("config file %s: unknown key %q; known keys are %s", s.fileName, key, strings.Join(known, ", "))
		}
	}
	return nil
}

// Resolve returns the value of a flag, or nil without one.
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
		return nil, fmt.Errorf("config file %s: key %q takes one value, not a list", s.fileName, flag.Name)
	case map[string]any:
		return nil, fmt.Errorf("config file %s: key %q takes one value, not a map", s.fileName, flag.Name)
	default:
		return fmt.Sprint(value), nil
	}
}

// unknownEnv lists the names of the variables that begin with MAILROOM_ and that
// no command knows. It leaves out the values, because they may be secret.
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
