package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Handle declares an action that takes one request struct:
//
//	type listNotes struct {
//		Owner int64  `path:"id"`
//		Limit int    `query:"limit,omitempty"`
//	}
//	workers.Handle(notes, "LIST_NOTES", list, workers.Route("GET /notes/:id"))
//
// A field with the tag path is a parameter of the route, in the order of the fields. All
// other fields form one object: the query of a GET or DELETE, otherwise the body. The tag
// query names a field in the same way as json does. A field is required unless its tag has
// omitempty or omitzero. [Run] reports a faulty declaration.
func Handle[In, R any](s *Service, name string, fn func(context.Context, In) (R, error), opts ...ActionOption) {
	shape, err := requestShapeOf(reflect.TypeFor[In]())
	a := newAction[R](name, opts, shape.arguments()...)
	if err != nil {
		a.faults = append(a.faults, fmt.Errorf("action %s: %w", name, err))
	}
	a.faults = append(a.faults, shape.describePath(a)...)
	a.faults = append(a.faults, shape.check(a)...)
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		var in In
		if err := shape.decode(a, args, reflect.ValueOf(&in).Elem()); err != nil {
			return nil, err
		}
		return fn(ctx, in)
	}
	s.add(a)
}

// requestShape splits a request struct into path parameters and one object.
type requestShape struct {
	path   []reflect.StructField
	object reflect.Type // a struct of the other fields; nil: there are none
	fields []int        // the fields of the object, as indexes of the request struct
}

func requestShapeOf(t reflect.Type) (*requestShape, error) {
	shape := &requestShape{}
	if t.Kind() != reflect.Struct {
		return shape, fmt.Errorf("request %v: want a struct; use Handle1 for other types", t)
	}
	var object []reflect.StructField
	for i := range t.NumField() {
		field := t.Field(i)
		_, path := field.Tag.Lookup("path")
		query, named := field.Tag.Lookup("query")
		switch {
		case !field.IsExported():
			return shape, fmt.Errorf("request %v: field %s is not exported", t, field.Name)
		case field.Anonymous:
			return shape, fmt.Errorf("request %v: field %s is embedded: embedded fields are not supported", t, field.Name)
		case path:
			shape.path = append(shape.path, field)
			continue
		case named:
			field.Tag = reflect.StructTag(fmt.Sprintf(`json:%q`, query)) + " " + field.Tag
		}
		shape.fields = append(shape.fields, i)
		field.Offset, field.Index = 0, nil
		object = append(object, field)
	}
	if len(object) > 0 {
		shape.object = reflect.StructOf(object)
	}
	return shape, nil
}

// arguments returns the types of the positional arguments.
func (s *requestShape) arguments() []reflect.Type {
	var types []reflect.Type
	for _, field := range s.path {
		types = append(types, field.Type)
	}
	if s.object != nil {
		types = append(types, s.object)
	}
	return types
}

// describePath adds the struct tags description and example of the path fields to their
// arguments. Those of the object are in its type.
func (s *requestShape) describePath(a *action) []error {
	var faults []error
	for i, field := range s.path {
		if err := a.args[i].describe(field); err != nil {
			faults = append(faults, fmt.Errorf("action %s: field %s: %w", a.declared.Name, field.Name, err))
		}
	}
	a.declared.Args = a.arguments()
	return faults
}

// check compares the path fields with the parameters of the first route.
func (s *requestShape) check(a *action) []error {
	var faults []error
	for i, field := range s.path {
		if want := field.Tag.Get("path"); a.declared.Args[i].In != "" && a.declared.Args[i].Name != want {
			faults = append(faults, fmt.Errorf("action %s: field %s has the tag path %q, the route has :%s in its place", a.declared.Name, field.Name, want, a.declared.Args[i].Name))
		}
	}
	return faults
}

// decode reads the arguments into a request struct.
func (s *requestShape) decode(a *action, args []json.RawMessage, in reflect.Value) error {
	into := make([]any, 0, len(s.path)+1)
	for _, field := range s.path {
		into = append(into, in.FieldByIndex(field.Index).Addr().Interface())
	}
	var object reflect.Value
	if s.object != nil {
		object = reflect.New(s.object)
		into = append(into, object.Interface())
	}
	if err := a.decode(args, into...); err != nil {
		return err
	}
	for i, field := range s.fields {
		in.Field(field).Set(object.Elem().Field(i))
	}
	return nil
}
