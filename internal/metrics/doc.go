// Package metrics holds what the metrics of gateways and of workers have in common: a
// registry, the buckets of durations, and counters of actions with a bounded number of
// label values. Names follow https://prometheus.io/docs/practices/naming/.
package metrics
