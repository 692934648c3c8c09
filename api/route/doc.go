// Package route finds the route of a request and binds its arguments. The table of routes
// follows the manifests of the services and the versions file.
//
// It does not call actions and does not authorize callers.
//
// Open router.go first.
//
//	router.go        holds the current table; rebuilds it on every change
//	table.go         method and path → route, of services and of versions
//	versiontable.go  the routes of one version
//	tree.go          paths by segment
//	route.go         one method at one path, and its action
//	bind.go          path, query, body and headers → argument array
//	arguments.go     the arguments that an action declares
//	value.go         one argument or field, by its schema
//	object.go        the argument that comes from the body or the query
//	schema.go        the parts of a JSON schema that the gateway evaluates itself
//	json.go          strict JSON bodies
//	caching.go       the header Cache-Control of a cached route
//	versionsfile.go  the versions file in force
package route
