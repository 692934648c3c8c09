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

// MaxSegments bounds the segments in the path of a route.
const MaxSegments = 16

// DefaultTimeout bounds a composition, all its steps together.
const DefaultTimeout = wire.DefaultTimeout

// File is a versions file without faults.
type File struct {
	Versions []*Version
}

// Version is one version of the API, such as v2.
type Version struct {
	Name string
	Retirement
	Plans []*Plan

	at position
}

// Retirement holds the times at which a version or a route ends; zero means never.
type Retirement struct {
	// Deprecated is the time from which callers should no longer use it (RFC 9745).
	Deprecated time.Time
	// Sunset is the time at which it is removed (RFC 8594).
	Sunset time.Time
}

// Find returns the version of a name; nil if there is none.
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

// Plan returns the plan with a hash; nil if there is none.
func (f *File) Plan(hash string) *Plan {
	if f == nil {
		return nil
	}
	for _, v := range f.Versions {
		for _, p := range v.Plans {
			if p.source.hash == hash {
				return p
			}
		}
	}
	return nil
}

// Plan describes one route of one version. It is immutable.
type Plan struct {
	Version string
	Retirement
	// Method and Path are those of the route, without the version.
	Method, Path string
	// Summary describes the route in one line.
	Summary string
	// Timeout bounds all steps together.
	Timeout time.Duration
	// Args declares the arguments of the route.
	Args Arguments
	// Scopes are those that a caller needs; nil means those of the actions.
	Scopes []string
	Stages []Stage

	output output
	source source
	at     position
}

// Arguments declares the arguments of a route.
type Arguments struct {
	// Parameters are those of the path, in their order.
	Parameters []wire.Argument
	// Object is the body or the query; nil if the route takes none.
	Object *wire.Argument
	// Headers are those that expressions may use, in lower case.
	Headers []string

	types types.Map       // in expressions, by the name of the part
	used  map[string]bool // the parts that expressions use
}

// output describes how a plan computes its answer.
type output struct {
	result *expression
	step   string // the name of the step that gives the answer its status and Location
	// computes reports whether an expression does more than pass on a parameter of the
	// path or the result of a step.
	computes bool
}

// source is the text of a plan and its hash.
type source struct {
	text []byte // JSON
	hash string
}

// Stage is one step, or several that run together. The next stage waits for all of them.
type Stage []*Step

// Step calls one action of one service, or refuses.
type Step struct {
	Name    string
	Service string
	Action  string
	// Refusal is the error of a step that refuses; nil if the step calls an action.
	Refusal *Refusal

	when *expression // nil means always
	args []*expression

	place int  // in the plan
	read  bool // an expression looks into its result
	used  bool // an expression uses its result; a result that is the whole answer does not count

	at position
}

// Refusal is an error that a plan answers with by itself.
type Refusal struct {
	Code    string
	Status  int
	Message string
}

// Name returns the method and path, such as POST /v3/payments.
func (p *Plan) Name() string { return p.Method + " /" + p.Version + p.Path }

// Hash returns the hash of the source.
func (p *Plan) Hash() string { return p.source.hash }

// Source returns the plan as JSON, from which ParsePlan makes it again.
func (p *Plan) Source() []byte { return p.source.text }

// Steps returns all steps that call an action, in their order.
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

// Answer returns the step whose result is always the answer; nil: there is none, since an
// expression computes the answer or the step has a condition.
func (p *Plan) Answer() *Step {
	for _, s := range p.Steps() {
		if s.when == nil && s.Name == p.output.step && p.output.result != nil && p.output.result.name == s.Name {
			return s
		}
	}
	return nil
}

// Safe reports whether all actions of the plan are known and may run twice.
func (p *Plan) Safe(services registry.Snapshot) bool {
	for _, s := range p.Steps() {
		action := services[s.Service].Action(s.Action)
		if action == nil || !action.Safe {
			return false
		}
	}
	return true
}

// Needs returns the scopes that a caller needs. Unknown names a service whose actions have
// not been seen yet and may need more; empty if there is none.
func (p *Plan) Needs(services registry.Snapshot) (scopes []string, unknown string) {
	if p.Scopes != nil {
		return p.Scopes, ""
	}
	for _, s := range p.Steps() {
		action := services[s.Service].Action(s.Action)
		if action == nil {
			unknown = s.Service
			continue
		}
		scopes = append(scopes, action.Scopes...)
	}
	return scopes, unknown
}

// seal sets the source and the hash of a plan from the values of its route.
func (p *Plan) seal(route any) error {
	text, err := json.Marshal(map[string]any{"versions": map[string]any{
		p.Version: map[string]any{"routes": map[string]any{p.Method + " " + p.Path: route}},
	}})
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	sum := sha256.Sum256(text)
	p.source = source{text: text, hash: hex.EncodeToString(sum[:16])}
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
