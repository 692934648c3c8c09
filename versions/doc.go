// Package versions knows what a version of the API is: routes, and for each the
// steps that it is composed of. A file says so, as data:
//
//	parse.go    reads the file: every fault at once, with line and column
//	yaml.go     its text, and where that is none
//	compile.go  its expressions, and what they may speak of
//	check.go    holds it against what services declare
//	outline.go  what of their schemas tells for sure that a value does not fit
//	plan.go     one route, whole: what runs, and what it is kept by
//	mark.go     notes what of a call and of its steps has to be read at all
//	run.go      runs the steps of a plan; who asks the services is its caller's
//	show.go     prints routes and steps as a tree
//
// It knows neither HTTP nor Redis.
package versions
