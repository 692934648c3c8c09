package workers

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/oskadev/mailroom/bus/wire"
)

// Service is a named set of actions. Declare all of them before Run.
type Service struct {
	name        string
	version     string
	concurrency int
	actions     []*action
	byName      map[string]*action
	middleware  []Middleware
	faults      []error // what is wrong with the declaration, told by Run
}

// ServiceOption sets something of a whole service.
type ServiceOption func(*Service)

// WithVersion sets the version that the manifest tells. Defaults to "0.0.0".
func WithVersion(version string) ServiceOption {
	return func(s *Service) { s.version = version }
}

// WithConcurrency sets how many requests one worker runs at once. Defaults to
// Config.Concurrency.
func WithConcurrency(n int) ServiceOption {
	return func(s *Service) { s.concurrency = n }
}

// NewService declares a service. Its name is a lower-case letter, then letters,
// digits or hyphens; its routes begin with "/<name>". What is wrong with a
// declaration, Run reports, all of it at once.
func NewService(name string, opts ...ServiceOption) *Service {
	s := &Service{name: name, version: "0.0.0", byName: make(map[string]*action)}
	for _, opt := range opts {
		opt(s)
	}
	if err := wire.CheckServiceName(name); err != nil {
		s.faults = append(s.faults, err)
	}
	return s
}

// Name is the service's name.
func (s *Service) Name() string { return s.name }

// Use adds middleware around every action; the first added is outermost.
func (s *Service) Use(middleware ...Middleware) { s.middleware = append(s.middleware, middleware...) }

// add declares one action.
func (s *Service) add(a *action) {
	if !regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`).MatchString(a.name) {
		s.faults = append(s.faults, fmt.Errorf("action name %q: want an upper-case letter, then upper-case letters, digits or underscores, at most 64", a.name))
	}
	if s.byName[a.name] != nil {
		s.faults = append(s.faults, fmt.Errorf("action %s is declared twice", a.name))
	}
	s.faults = append(s.faults, a.check(s.name)...)
	s.actions = append(s.actions, a)
	s.byName[a.name] = a
}

// Manifest returns what the service declares to gateways, as canonical JSON. The
// error names every fault of the declaration.
func (s *Service) Manifest() ([]byte, error) {
	m, err := s.declare()
	if err != nil {
		return nil, err
	}
	text, _, err := m.Encode()
	return text, err
}

func (s *Service) declare() (*wire.Manifest, error) {
	s.addInvalidate()
	if len(s.faults) > 0 {
		return nil, fmt.Errorf("service %s: %w", s.name, errors.Join(s.faults...))
	}
	m := &wire.Manifest{Service: s.name, Version: s.version, Protocol: 1, Actions: []wire.Action{}}
	for _, a := range s.actions {
		m.Actions = append(m.Actions, a.manifest())
	}
	return m, nil
}
