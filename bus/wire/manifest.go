package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/internal/template"
)

// Manifest is the declaration of a service: one for each build.
type Manifest struct {
	Service  string   `json:"service"`
	Version  string   `json:"version"`
	Protocol int      `json:"protocol"`
	Actions  []Action `json:"actions"`
	// Unknown are the UnknownMembers of a manifest that was read.
	Unknown []string `json:"-"`
}

// Action returns the action with a name, or nil.
func (m *Manifest) Action(name string) *Action {
	if m == nil {
		return nil
	}
	for i := range m.Actions {
		if m.Actions[i].Name == name {
			return &m.Actions[i]
		}
	}
	return nil
}

// Action is one action of a service.
type Action struct {
	Name    string `json:"name"`
	Summary string `json:"summary,omitempty"`
	// Routes are "METHOD /path/:parameter".
	Routes []string `json:"routes,omitempty"`
	// Safe reports that the action may run twice.
	Safe bool `json:"safe"`
	// TimeoutMillis is how long the action may take. Defaults to DefaultTimeout.
	TimeoutMillis int64      `json:"timeout_ms"`
	Args          []Argument `json:"args"`
	// Result is the JSON schema of the result.
	Result json.RawMessage `json:"result,omitempty"`
	// Cache describes how results are shared; nil: they are not.
	Cache *Caching `json:"cache,omitempty"`
	// Invalidates are the cache tags that the action invalidates; {0} is its first
	// argument.
	Invalidates []string `json:"invalidates,omitempty"`
	// Lane is the key whose requests run one at a time; {0} is its first argument.
	Lane string `json:"lane,omitempty"`
	// Scopes are the scopes that a caller needs, all of them.
	Scopes     []string `json:"scopes,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
}

// Caching describes how the results of a safe action are shared.
type Caching struct {
	// TTLMillis is how long a result is fresh; 0: results are not stored, identical
	// requests only share a run.
	TTLMillis int64 `json:"ttl_ms"`
	// Tags name the data in a result; {0} is the first argument.
	Tags []string `json:"tags,omitempty"`
	// Public reports that all principals get the same result.
	Public bool `json:"public,omitempty"`
	// StaleWhileRevalidateMillis is how long a stale result is served while a new one is
	// computed; StaleIfErrorMillis, how long it is served if that fails.
	StaleWhileRevalidateMillis int64 `json:"stale_while_revalidate_ms,omitempty"`
	StaleIfErrorMillis         int64 `json:"stale_if_error_ms,omitempty"`
}

// DefaultTimeout is how long an action may take if its manifest sets no timeout.
const DefaultTimeout = 10 * time.Second

// Timeout returns how long the action may take.
func (a *Action) Timeout() time.Duration {
	if a.TimeoutMillis <= 0 {
		return DefaultTimeout
	}
	return time.Duration(a.TimeoutMillis) * time.Millisecond
}

// LaneOf returns the lane of a request with these arguments, a JSON array; empty: none.
// A missing argument counts as empty.
func (a *Action) LaneOf(args string) string {
	if a.Lane == "" {
		return ""
	}
	lane, err := template.Fill(a.Lane, args)
	if err != nil {
		return a.Lane
	}
	if len(lane) > maxLaneLength {
		sum := sha256.Sum256([]byte(lane))
		return lane[:maxLaneLength-2*len(sum)] + hex.EncodeToString(sum[:])
	}
	return lane
}

// maxLaneLength is the longest name of a lane, in bytes. A longer one is cut and ends in
// its SHA-256.
const maxLaneLength = 256

// CheckLane returns an error if the lane is not valid for an action with the number of
// arguments.
func CheckLane(lane string, arguments int) error {
	if err := template.Check(lane, arguments); err != nil {
		return fmt.Errorf("lane %w", err)
	}
	return nil
}

// The sources of an argument in a REST call.
const (
	InPath  = "path"
	InQuery = "query"
	InBody  = "body"
)

// Argument is one positional argument of an action.
type Argument struct {
	Name string `json:"name"`
	// In is InPath, InQuery or InBody; empty: not reachable by REST.
	In string `json:"in,omitempty"`
	// Schema is the JSON schema of the value.
	Schema json.RawMessage `json:"schema,omitempty"`
}

// Encode returns the canonical JSON of the manifest and its digest, the
// SHA-256 in hexadecimal. Canonical JSON has the fields in the order of the protocol,
// schemas with sorted keys, and no spaces.
func (m *Manifest) Encode() (canonical []byte, digest string, err error) {
	c := *m
	c.Actions = make([]Action, len(m.Actions))
	for i, a := range m.Actions {
		args := make([]Argument, len(a.Args))
		for j, arg := range a.Args {
			if arg.Schema, err = sortKeys(arg.Schema); err != nil {
				return nil, "", fmt.Errorf("manifest of %s, %s, argument %s: %w", m.Service, a.Name, arg.Name, err)
			}
			args[j] = arg
		}
		a.Args = args
		if a.Result, err = sortKeys(a.Result); err != nil {
			return nil, "", fmt.Errorf("manifest of %s, %s, result: %w", m.Service, a.Name, err)
		}
		c.Actions[i] = a
	}
	if canonical, err = json.Marshal(c); err != nil {
		return nil, "", fmt.Errorf("manifest of %s: %w", m.Service, err)
	}
	sum := sha256.Sum256(canonical)
	return canonical, hex.EncodeToString(sum[:]), nil
}

func sortKeys(schema json.RawMessage) (json.RawMessage, error) {
	if len(schema) == 0 {
		return nil, nil
	}
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v) // Marshal sorts the keys of maps
}

// ParseManifest reads and checks a manifest.
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := CheckServiceName(m.Service); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Protocol != 1 {
		return nil, fmt.Errorf("manifest of %s: protocol %d is not %s", m.Service, m.Protocol, ProtocolVersion)
	}
	for i := range m.Actions {
		if m.Actions[i].Name == "" {
			return nil, fmt.Errorf("manifest of %s: action %d has no name", m.Service, i)
		}
	}
	m.Unknown = UnknownMembers(data)
	return &m, nil
}
