package registry

import (
	"slices"

	"github.com/oskadev/mailroom/bus/wire"
)

// intersect keeps the actions that all manifests declare, and of each the
// routes that all declare: any worker may get the request. Where manifests
// say different things about an action, the first by digest counts.
func intersect(digests []string, manifests map[string]*wire.Manifest) *wire.Manifest {
	first := manifests[digests[0]]
	if len(digests) == 1 {
		return first
	}
	common := *first
	common.Actions = nil
	for _, action := range first.Actions {
		declared := true
		for _, digest := range digests[1:] {
			other := manifests[digest].Action(action.Name)
			if other == nil {
				declared = false
				break
			}
			action.Routes = slices.DeleteFunc(slices.Clone(action.Routes), func(route string) bool {
				return !slices.Contains(other.Routes, route)
			})
			action.Safe = action.Safe && other.Safe
			action.Cache = commonCaching(action.Cache, other.Cache)
			action.Scopes = bothScopes(action.Scopes, other.Scopes)
			if action.Lane == "" {
				action.Lane = other.Lane
			}
		}
		if declared {
			common.Actions = append(common.Actions, action)
		}
	}
	return &common
}

// commonCaching is how answers are shared while two builds of a service answer: only
// if both say so, and then as carefully as both want.
func commonCaching(c, other *wire.Caching) *wire.Caching {
	if c == nil || other == nil {
		return nil
	}
	tags := slices.Concat(c.Tags, other.Tags)
	slices.Sort(tags)
	return &wire.Caching{
		TTLMillis: min(c.TTLMillis, other.TTLMillis), Tags: slices.Compact(tags), Public: c.Public && other.Public,
		StaleWhileRevalidateMillis: min(c.StaleWhileRevalidateMillis, other.StaleWhileRevalidateMillis),
		StaleIfErrorMillis:         min(c.StaleIfErrorMillis, other.StaleIfErrorMillis),
	}
}

// bothScopes are those that a caller needs while two builds of a service answer:
// what either wants.
func bothScopes(one, other []string) []string {
	if len(one)+len(other) == 0 {
		return nil
	}
	scopes := slices.Concat(one, other)
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
