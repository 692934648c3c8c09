// Package registry follows the services of a namespace: their live workers and their
// manifests. It does not write to Redis. Open registry.go first; intersect.go merges the
// manifests while workers of two builds run.
package registry
