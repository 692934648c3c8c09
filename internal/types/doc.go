// Package types writes typed clients of services from their manifests, in TypeScript,
// Python and Go: one type for each object in a JSON schema, and one method for each action
// that has a route.
//
// A manifest is foreign data: no text of it reaches the code unescaped, and a schema that
// a language cannot express becomes its type of any value.
//
// Open types.go first. schema.go reads JSON schemas into shapes, names.go makes identifiers,
// and there is one file for each language.
package types
