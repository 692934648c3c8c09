package versions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr/types"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// MostSegments is how many segments the path of a route has at most.
const MostSegments = 16

// DefaultTimeout is how long a composition may take, all its steps together.
const DefaultTimeout = wire.DefaultTimeout

// File is a versions file that can be used.
type File struct {
	Versions []*Version
}

// Version is one version of the API, such as v2.
type Version struct {
	Name string
	Retirement
	Plans []*Plan

	line, column int
}

// Retirement says when something is left behind; zero times: it is not.
type Retirement struct {
	// Deprecated is since when, or from when on, callers should leave it
	// (RFC 9745).
	Deprecated time.Time
	// Sunset is when it will be gone (RFC 8594).
	Sunset time.Time
}

// Find gives a version; nil: there is none of that name.
func (f *File) Find(name string) *Version {
	if f == nil {
		return nil
	}
	for _, v := range f.Versions {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Plan gives the one with a hash; nil: there is none.
func (f *File) Plan(hash string) *Plan {
	if f == nil {
		return nil
	}
	for _, v := range f.Versions {
		for _, p := range v.Plans {
			if p.hash == hash {
				return p
			}
		}
	}
	return nil
}

// Plan is what one route of one version does. It does not change.
type Plan struct {
	Version string
	Retirement
	// Method and Path are those of the route, without the version.
	Method, Path string
	// Summary is one line for people.
	Summary string
	// Timeout is what all steps have together.
	Timeout time.Duration
	// Parameters are the path's, in their order, each with the schema of its value.
	Parameters []wire.Argument
	// Object is the body or the query; nil: the route takes none.
	Object *wire.Argument
	// Headers are those that expressions may speak of, in lower case.
	Headers []string
	// Scopes are what a caller has to have; nil: what the actions of the steps want.
	Scopes []string
	Stages []Stage

	result *expression
	inputs types.Map       // what of a call expressions may speak of
	speaks map[string]bool // of what a call brings expressions speak
	// computes says that an expression is more than a parameter of the path, or the
	// result of a step, passed on.
	computes bool
	answer   string // the step whose status and Location the answer has
	source   []byte
	hash     string

	line, column int
}

// Stage is what runs at once: one step, or several together. The next stage waits
// for all of them.
type Stage []*Step

// Step asks one action of one service, or refuses.
type Step struct {
	Name    string
	Service string
	Action  string
	// Refusal is the error to answer with instead of asking; nil: it asks.
	Refusal *Refusal

	when *expression // nil: always
	args []*expression

	place int  // among the steps of the plan
	read  bool // an expression looks into its result
	used  bool // an expression speaks of its result, but for the answer as it came

	line, column int
}

// Refusal is an answer that no service is asked for.
type Refusal struct {
	Code    string
	Status  int
	Message string
}

// Name is the plan as people know it: POST /v3/payments.
func (p *Plan) Name() string { return p.Method + " /" + p.Version + p.Path }

// Hash names the plan by all that it says.
func (p *Plan) Hash() string { return p.hash }

// Source is the plan as text, from which ParsePlan makes it again.
func (p *Plan) Source() []byte { return p.source }

// Steps lists all steps that ask, in their order.
func (p *Plan) Steps() []*Step {
	var steps []*Step
	for _, stage := range p.Stages {
		for _, s := range stage {
			if s.Refusal == nil {
				steps = append(steps, s)
			}
		}
	}
	return steps
}

// Safe reports whether all actions that the plan asks for may run twice, as far as
// they are known.
func (p *Plan) Safe(services registry.Snapshot) bool {
	for _, s := range p.Steps() {
		action := find(services, s.Service, s.Action)
		if action == nil || !action.Safe {
			return false
		}
	}
	return true
}

// Needs are the scopes that a caller has to have; unknown is a service whose actions
// say so and have not been seen yet, empty: none.
func (p *Plan) Needs(services registry.Snapshot) (scopes []string, unknown string) {
	if p.Scopes != nil {
		return p.Scopes, ""
	}
	for _, s := range p.Steps() {
		action := find(services, s.Service, s.Action)
		if action == nil {
			unknown = s.Service
			continue
		}
		scopes = append(scopes, action.Scopes...)
	}
	return scopes, unknown
}

func find(services registry.Snapshot, service, action string) *wire.Action {
	s := services[service]
	if s == nil || s.Manifest == nil {
		return nil
	}
	for i := range s.Manifest.Actions {
		if s.Manifest.Actions[i].Name == action {
			return &s.Manifest.Actions[i]
		}
	}
	return nil
}

// seal gives a plan its source and its hash, from the route as it was read.
func (p *Plan) seal(route any) error {
	text, err := json.Marshal(map[string]any{"versions": map[string]any{
		p.Version: map[string]any{"routes": map[string]any{p.Method + " " + p.Path: route}},
	}})
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	sum := sha256.Sum256(text)
	p.source, p.hash = text, hex.EncodeToString(sum[:16])
	return nil
}

// ParsePlan makes a plan from its source.
func ParsePlan(source []byte) (*Plan, error) {
	file, faults := Parse(source, nil)
	if file == nil {
		return nil, errors.New(faults.String())
	}
	if len(file.Versions) != 1 || len(file.Versions[0].Plans) != 1 {
		return nil, fmt.Errorf("not the source of a plan: %.80s", strings.TrimSpace(string(source)))
	}
	return file.Versions[0].Plans[0], nil
}
