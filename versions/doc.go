// Package versions reads, checks and runs the versions of the API. A versions file defines the
// routes of each version, and for each route the steps that it is composed of:
//
//	parse.go    reads a file into plans; start here
//	yaml.go     reads YAML into nodes with line and column
//	compile.go  compiles expressions
//	check.go    checks plans against the manifests of services
//	outline.go  finds values that cannot fit a schema
//	plan.go     is one route: its steps, its source and its hash
//	mark.go     notes which values expressions use
//	run.go      runs the steps of a plan; the caller passes the function that calls services
//	show.go     prints routes and steps as a tree
//
// It knows neither HTTP nor Redis.
package versions
