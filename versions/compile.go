package versions

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// expression is a compiled expression of the language Expr
// (https://expr-lang.org/docs/language-definition).
type expression struct {
	text    string
	program *vm.Program
	name    string   // if it is a name and nothing else
	chain   []string // if it is names with dots between them and nothing else
	param   int      // if it is a parameter of the path and nothing else: its number, from 1
	at      position
}

// maxNodes and maxBytes bound one expression.
const (
	maxNodes = 1000
	maxBytes = 8 << 10
)

// compile compiles an expression that may use the names of env.
func compile(text string, env types.Map, wantBool bool) (*expression, error) {
	if len(text) > maxBytes {
		return nil, errors.New("the expression is too long")
	}
	options := append([]expr.Option{expr.Env(env), expr.MaxNodes(maxNodes)}, repeatable()...)
	if wantBool {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		if said, ok := errors.AsType[*file.Error](err); ok {
			return nil, errors.New(said.Message)
		}
		return nil, err
	}
	e := &expression{text: text, program: program}
	if trimmed := strings.TrimSpace(text); env[trimmed] != nil {
		e.name = trimmed
	}
	e.chain = chainOf(program.Node())
	return e, nil
}

// repeatable disables functions whose value changes from call to call: a composition that
// is resumed calls its steps with the same arguments.
func repeatable() []expr.Option {
	return []expr.Option{expr.DisableBuiltin("now"), expr.DisableBuiltin("keys"), expr.DisableBuiltin("values"), expr.DisableBuiltin("toPairs")}
}

// isName reports whether expressions can use a name: the language has its own meaning for
// nil, let and not.
func isName(name string) bool {
	e, err := compile(name+".x", types.Map{name: types.Any}, false)
	return err == nil && len(e.chain) > 0
}

// kindOf returns the JSON type of a Go type; empty if it is known only at run time.
func kindOf(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Map:
		return "object"
	default:
		return ""
	}
}

// chainOf returns the names of an expression that only leads from one field to the next;
// nil for any other.
func chainOf(node ast.Node) []string {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			return nil
		}
		return []string{n.Value}
	case *ast.ChainNode:
		return chainOf(n.Node)
	case *ast.MemberNode:
		name, literal := n.Property.(*ast.StringNode)
		before := chainOf(n.Node)
		if !literal || before == nil || n.Optional || n.Method {
			return nil
		}
		return append(before, name.Value)
	}
	return nil
}

func (e *expression) run(env map[string]any) (any, error) {
	value, err := expr.Run(e.program, env)
	if err != nil {
		if said, ok := errors.AsType[*file.Error](err); ok {
			return nil, errors.New(said.Message)
		}
		return nil, err
	}
	return value, nil
}

// typeOfJSON returns typeOf the schema of a manifest.
func typeOfJSON(text []byte) types.Type {
	var schema map[string]any
	if json.Unmarshal(text, &schema) != nil { // it declares no types
		return types.Any
	}
	return typeOf(schema)
}

// typeOf returns the type that a value of a JSON schema has in expressions.
func typeOf(schema map[string]any) types.Type {
	kind, _ := schema["type"].(string)
	switch kind {
	case "integer":
		return types.Int
	case "number": // a whole one is an int
		return types.Any
	case "string":
		return types.String
	case "boolean":
		return types.Bool
	case "array":
		items, _ := schema["items"].(map[string]any)
		return types.Array(typeOf(items))
	case "object":
		properties, there := schema["properties"].(map[string]any)
		if !there {
			return types.Any
		}
		required, _ := schema["required"].([]any)
		object := types.Map{}
		for name, property := range properties {
			object[name] = types.Any // nil if it is left out
			for _, r := range required {
				if own, ok := property.(map[string]any); ok && r == name {
					object[name] = typeOf(own)
				}
			}
		}
		closed, ok := schema["additionalProperties"].(bool)
		if _, patterns := schema["patternProperties"]; !ok || closed || patterns {
			object[types.Extra] = types.Any
		}
		return object
	default:
		return types.Any
	}
}

// declared returns typeOf the schema of a query. The gateway drops parameters that the
// schema does not name, even if it allows them.
func declared(schema map[string]any) types.Type {
	only := maps.Clone(schema)
	if only["properties"] == nil {
		only["properties"] = map[string]any{}
	}
	only["additionalProperties"] = false
	delete(only, "patternProperties")
	return typeOf(only)
}
