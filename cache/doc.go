// Package cache is the place of the shared response cache: what collapses
// identical reads over all gateways and keeps their answers. It stores bytes
// and knows no bus.
//
// It stands between the route match (api) and the client of the bus: a
// cacheable read looks here first, and goes on to the mailbox only as the
// leader of all who ask the same. Nothing is built here yet: every read goes
// to its service.
package cache
