package registry

import (
	"bytes"
	"slices"

	"github.com/oskadev/mailroom/bus/wire"
)

// intersect keeps the actions that all manifests declare, and their common routes,
// since any worker may get the request. If manifests differ in other fields of an
// action, the first manifest by digest counts; see Service.Variants for arguments.
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

// partial returns the routes of manifests that are not common to all.
func partial(manifests map[string]*wire.Manifest, common *wire.Manifest) []string {
	shared := make(map[string]bool)
	for _, action := range common.Actions {
		for _, route := range action.Routes {
			shared[route] = true
		}
	}
	var routes []string
	for _, m := range manifests {
		for _, action := range m.Actions {
			for _, route := range action.Routes {
				if !shared[route] {
					routes = append(routes, route)
				}
			}
		}
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}

// variants returns the declarations whose arguments differ from the common ones.
func variants(digests []string, manifests map[string]*wire.Manifest, common *wire.Manifest) map[string][]*wire.Action {
	found := make(map[string][]*wire.Action)
	for i := range common.Actions {
		action := &common.Actions[i]
		for _, digest := range digests {
			other := manifests[digest].Action(action.Name)
			if !slices.EqualFunc(action.Args, other.Args, sameArgument) {
				found[action.Name] = append(found[action.Name], other)
			}
		}
	}
	return found
}

// sameArgument compares two arguments. Schemas in manifests are canonical: equal ones have
// the same bytes.
func sameArgument(one, other wire.Argument) bool {
	return one.Name == other.Name && one.In == other.In && bytes.Equal(one.Schema, other.Schema)
}

// commonCaching merges the caching of two builds: results are shared only if both share
// them, for the shorter time.
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

// bothScopes merges the scopes of two builds: a caller needs the scopes of both.
func bothScopes(one, other []string) []string {
	if len(one)+len(other) == 0 {
		return nil
	}
	scopes := slices.Concat(one, other)
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
