// Package registry knows which services there are, who works for them and what
// they declare. Open registry.go first; intersect.go says what counts while
// workers of two builds run.
package registry
