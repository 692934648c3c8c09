// Package cache is a response cache that many processes share. One Redis holds the
// entries, and each process holds the entries that it uses most in its own memory. Of
// identical queries that run at the same time, in any process, only one runs.
//
// The package stores bytes. It knows neither HTTP nor a bus, and does not decide what
// may be cached. The caller passes the function that computes the answer:
//
//	c, err := cache.New(rdb, cache.Config{})
//	defer c.Close()
//	answer, err := c.Do(ctx, &cache.Query{
//		Space: "users", Identity: cache.Identity("GET_USER", "7"), Tags: []string{"user:7"},
//		Policy: cache.Policy{TTL: 30 * time.Second},
//	}, func(ctx context.Context) cache.Outcome { … })
//
// Open cache.go first: Do shows the path of a query.
//
//  1. local.go returns the local entry, if there is one.
//  2. lookup.go looks up in Redis. It batches the lookups of all callers (pipeline.go)
//     and uses the cheapest commands that hints.go suggests: read.go if an entry is
//     likely, claim.go if not, and lua/lookup.lua in all other cases. The result is an
//     entry, the lease to run the query, or the lease of another leader.
//  3. flight.go runs the query, or waits for the leader in another process, which
//     announces its outcome by a message (subscription.go).
//  4. fill.go stores the outcome and hands it to the processes that wait.
//
// A query never gets an answer that was computed before an invalidation that ended
// before the query started (invalidator.go). Each tag has a random nonce in Redis,
// and an invalidation replaces it. A lookup reads the nonces of its tags. Entries,
// leases and flights belong to the nonces that were read before their run, so that a
// lookup that reads other nonces never finds them.
//
// A failover may lose invalidations. So the keys of entries and leases also depend on the
// epoch: the history of the server (epoch.go). Nothing of before a failover or a restart is
// found.
//
// If Redis is unreachable, each query runs without the cache.
package cache
