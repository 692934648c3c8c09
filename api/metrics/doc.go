// Package metrics holds the Prometheus metrics of a gateway. docs/reference/metrics.md
// lists them. Labels hold names of services, actions, steps and codes; their number is
// bounded, and none holds an ID, a path or a principal.
package metrics
