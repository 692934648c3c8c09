package registry

import (
	"fmt"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/schemacost"
)

// judgement is a manifest that was read, or why it is not used. The same digest is not
// judged again.
type judgement struct {
	manifest *wire.Manifest // nil: it is not used
	size     int
	err      error
}

// judge reads a manifest of a service. It refuses one that is over a limit before anything
// costly sees it.
func judge(text, service string, l *limits) judgement {
	m, err := parse(text, service, l)
	if err != nil {
		return judgement{size: len(text), err: err}
	}
	return judgement{manifest: m, size: len(text)}
}

func parse(text, service string, l *limits) (*wire.Manifest, error) {
	data := []byte(text)
	if err := schemacost.CheckDepth(data); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m, err := wire.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	if m.Service != service {
		return nil, fmt.Errorf("manifest: it names the service %.64q", m.Service)
	}
	if len(m.Actions) > l.actions {
		return nil, fmt.Errorf("manifest: %d actions, more than %d", len(m.Actions), l.actions)
	}
	var cost schemacost.Cost
	for i := range m.Actions {
		a := &m.Actions[i]
		if len(a.Routes) > l.routes {
			return nil, fmt.Errorf("manifest: action %.64q: %d routes, more than %d", a.Name, len(a.Routes), l.routes)
		}
		for _, arg := range a.Args {
			if err := cost.Add(arg.Schema); err != nil {
				return nil, fmt.Errorf("manifest: action %.64q: schema of %.64q: %w", a.Name, arg.Name, err)
			}
		}
		if err := cost.Add(a.Result); err != nil {
			return nil, fmt.Errorf("manifest: action %.64q: schema of the result: %w", a.Name, err)
		}
	}
	return m, nil
}
