// Package schemacost bounds what a JSON schema from a service may cost before the schema
// library sees it: the library and the validation of values have no bounds of their own.
//
// It knows no schema library and judges no values. Open cost.go first.
package schemacost
