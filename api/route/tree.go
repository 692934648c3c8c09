package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/versions"
)

// node is one segment of the paths. A literal child takes precedence over the parameter.
type node struct {
	literals  map[string]*node
	parameter *node
	methods   map[string]*Route
}

// maxSegments is the maximum number of segments of a route. A longer path matches none.
const maxSegments = versions.MaxSegments

// place returns the node of a path, which it creates if needed, and the number of the
// path's parameters.
func (n *node) place(path string) (at *node, parameters int, err error) {
	if strings.Count(path, "/") > maxSegments {
		return nil, 0, fmt.Errorf("path %q has more than %d segments", path, maxSegments)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if strings.HasPrefix(segment, ":") {
			parameters++
			if n.parameter == nil {
				n.parameter = &node{}
			}
			n = n.parameter
			continue
		}
		if segment == "" {
			return nil, 0, fmt.Errorf("path %q has an empty segment", path)
		}
		if n.literals == nil {
			n.literals = make(map[string]*node)
		}
		if n.literals[segment] == nil {
			n.literals[segment] = &node{}
		}
		n = n.literals[segment]
	}
	return n, parameters, nil
}

// set serves a method at the node. It returns the route that already serves it, if any.
func (n *node) set(method string, r *Route) (other *Route) {
	if other = n.methods[method]; other != nil {
		return other
	}
	if n.methods == nil {
		n.methods = make(map[string]*Route)
	}
	n.methods[method] = r
	return nil
}

// find returns the route of a method and the segments of a path, and the values of its
// parameters. Without a route it returns the methods that the path has; none: no such
// path.
func (n *node) find(method string, segments []string) (r *Route, params, allowed []string) {
	if len(segments) > maxSegments {
		return nil, nil, nil
	}
	if r, params = n.match(method, segments, nil, &allowed); r != nil {
		return r, params, nil
	}
	slices.Sort(allowed)
	return nil, nil, slices.Compact(allowed)
}

// match is find below one node. It appends the values of parameters to params.
func (n *node) match(method string, segments, params []string, allowed *[]string) (*Route, []string) {
	if len(segments) == 0 {
		if r := n.methods[method]; r != nil {
			return r, params
		}
		for m := range n.methods {
			*allowed = append(*allowed, m)
		}
		return nil, nil
	}
	if child := n.literals[segments[0]]; child != nil {
		if r, p := child.match(method, segments[1:], params, allowed); r != nil {
			return r, p
		}
		if len(*allowed) > 0 {
			// The literal path exists, with other methods.
			return nil, nil
		}
	}
	if n.parameter != nil && segments[0] != "" {
		return n.parameter.match(method, segments[1:], append(params, segments[0]), allowed)
	}
	return nil, nil
}
