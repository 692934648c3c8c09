// Package openapi describes the routes of a gateway as an OpenAPI 3.1 document
// (https://spec.openapis.org/oas/v3.1.1.html).
//
// The document depends only on the table of routes and the options. It neither serves HTTP
// nor reads manifests: see packages route and docs. Texts and schemas of services are not
// trusted: sizes are bounded, and a schema that cannot be used is left out with a note.
//
// Open build.go first.
//
//	build.go        the document, from the table of routes
//	operation.go    one operation
//	path.go         paths with {parameters}
//	schemas.go      schemas of manifests, and the components made of them
//	keywords.go     the keywords of JSON schema that are kept
//	names.go        names of components and operations
//	components.go   the components of the gateway itself, from components.json
package openapi
