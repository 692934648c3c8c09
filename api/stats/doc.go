// Package stats keeps the statistics of the last minutes that operators look at: rates,
// errors and durations of services, actions and steps. Each gateway makes its own from its
// metrics and stores them in Redis, where every gateway and mailroom top read those of all
// gateways.
package stats
