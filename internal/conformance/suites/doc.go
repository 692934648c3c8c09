// Package suites has the service that workers under test serve, and the checks of workers, as
// data. It runs nothing. Open basic.yaml first, then suites.go, which says what a step may be.
//
//	suites.go   the checks and their steps, and how the files are read
//	service.go  the actions of the service "conformance"
package suites
