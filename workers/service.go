package workers

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/oskadev/mailroom/bus/wire"
)

// Service is a named set of actions. Declare all of them before [Run].
type Service struct {
	name        string
	version     string
	concurrency int
	actions     []*action
	byName      map[string]*action
	middleware  []Middleware
	remote      bool     // its handlers wait for another process
	unknown     []string // members of its manifest that are ignored
	faults      []error  // of the declaration; Run reports them
}

// ServiceOption configures a service.
type ServiceOption func(*Service)

// WithVersion sets the version in the manifest. Defaults to "0.0.0".
func WithVersion(version string) ServiceOption {
	return func(s *Service) { s.version = version }
}

// WithConcurrency sets the number of requests that one worker runs at the same time.
// Defaults to Config.Concurrency.
func WithConcurrency(n int) ServiceOption {
	return func(s *Service) { s.concurrency = n }
}

// NewService declares a service. Its name begins with a lower-case letter, followed by
// lower-case letters, digits or hyphens; its routes begin with "/NAME". [Run] reports all
// faults of the declaration.
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

// Name returns the name of the service.
func (s *Service) Name() string { return s.name }

// Use adds middleware around every action. The first one is the outermost.
func (s *Service) Use(middleware ...Middleware) { s.middleware = append(s.middleware, middleware...) }

// add declares one action.
func (s *Service) add(a *action) {
	if !regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`).MatchString(a.declared.Name) {
		s.faults = append(s.faults, fmt.Errorf("action name %q: want an upper-case letter, then upper-case letters, digits or underscores, at most 64 characters", a.declared.Name))
	}
	if s.byName[a.declared.Name] != nil {
		s.faults = append(s.faults, fmt.Errorf("action %s is declared twice", a.declared.Name))
	}
	s.faults = append(s.faults, a.check(s.name)...)
	s.actions = append(s.actions, a)
	s.byName[a.declared.Name] = a
}

// Manifest returns the manifest of the service, which gateways read, as canonical JSON.
// The error names every fault of the declaration.
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
