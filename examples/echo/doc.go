// Package echo is a service for tests and measurements. Its actions answer at once, late, with an error, or not at all.
// Open echo.go first.
package echo
