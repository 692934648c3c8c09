package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed components.json
var ownComponents []byte

// components are the components of a document: by kind, such as schemas, and by name.
type components map[string]map[string]any

// newComponents returns the components of the gateway itself.
func newComponents() (components, error) {
	var own components
	if err := json.Unmarshal(ownComponents, &own); err != nil {
		return nil, fmt.Errorf("components of the gateway: %w", err)
	}
	return own, nil
}

// refer returns a reference to a component.
func refer(kind, name string) map[string]any {
	return map[string]any{"$ref": "#/components/" + kind + "/" + name}
}

// used returns the components that a value refers to, directly or by others. Components that
// nothing uses make a document longer, and linters warn of them.
func (c components) used(value any) components {
	used := make(components)
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case *operation:
			look(v.Parameters)
			look(v.RequestBody)
			look(v.Responses)
		case []any:
			for _, item := range v {
				look(item)
			}
		case map[string]any:
			for name, item := range v {
				look(item)
				if ref, is := item.(string); is && name == "$ref" {
					kind, target, _ := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
					if used.has(kind, target) || c[kind][target] == nil {
						continue
					}
					used.set(kind, target, c[kind][target])
					look(c[kind][target])
				}
			}
		}
	}
	look(value)
	return used
}

func (c components) has(kind, name string) bool {
	_, found := c[kind][name]
	return found
}

func (c components) set(kind, name string, value any) {
	if c[kind] == nil {
		c[kind] = make(map[string]any)
	}
	c[kind][name] = value
}
