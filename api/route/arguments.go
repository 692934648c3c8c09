package route

import (
	"encoding/json"
	"fmt"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/schema"
)

// arguments holds the arguments that an action declares, for one route.
type arguments struct {
	path   []value
	object *object // the last argument, from body or query; nil: none
}

// newArguments returns the arguments of an action on a route with a number of path
// parameters. It returns an error if they do not match or a schema is not valid.
func newArguments(a *wire.Action, parameters int) (*arguments, error) {
	if len(a.Args) < parameters || len(a.Args) > parameters+1 {
		return nil, fmt.Errorf("the path has %d parameters, the action takes %d arguments", parameters, len(a.Args))
	}
	args := &arguments{}
	for i, arg := range a.Args {
		root, err := schema.Read(arg.Schema)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", arg.Name, err)
		}
		resolved, err := root.CloneSchemas().Resolve(nil)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", arg.Name, err)
		}
		v := newValue(arg.Name, root, root, resolved)
		if v.cost, err = costOf(arg.Schema); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", arg.Name, err)
		}
		if i < parameters {
			args.path = append(args.path, v)
			continue
		}
		if args.object, err = newObject(v, root); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// appendPath appends the arguments from the path as JSON. It returns the problem of each
// value that does not fit its schema.
func (a *arguments) appendPath(dst []byte, params []string) ([]byte, []exchange.Problem) {
	var problems []exchange.Problem
	for i := range a.path {
		v := &a.path[i]
		parsed, err := v.parse(params[i])
		if err != nil {
			problems = append(problems, problem(v.name, err))
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, parsed)
	}
	return dst, problems
}

// appendJSON appends a parsed value as JSON.
func appendJSON(dst []byte, v any) []byte {
	if number, ok := v.(json.Number); ok {
		return append(dst, number...)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...) // of strings, numbers, booleans and lists of them: never
	}
	return append(dst, text...)
}
