// Package cache is a response cache that many processes share: one Redis keeps
// the answers, each process keeps near copies of what is asked most, and of
// identical questions that are asked at the same time, anywhere, one is run.
//
// It stores bytes and knows neither HTTP nor a bus. Whoever asks brings the
// function that makes the answer:
//
//	c := cache.New(rdb, cache.Config{})
//	defer c.Close()
//	answer, err := c.Do(ctx, &cache.Query{
//		Space: "users", Identity: cache.Identity("GET_USER", "7"), Tags: []string{"user:7"},
//		Policy: cache.Policy{TTL: 30 * time.Second},
//	}, func(ctx context.Context) cache.Outcome { … })
//
// The way of a question: the near copy (near.go), else one look at Redis, in a
// batch with others (look.go, lua/look.lua), which gives the shared copy, or makes
// this process the leader of all who ask the same, or lets it wait for the leader
// (flight.go). The leader's outcome is stored and handed to all who wait in one
// step (fill.go, lua/fill.lua).
//
// Nothing that is asked after an invalidation has ended gets an answer that was
// made before (invalidate.go): each tag has a nonce in Redis, which an
// invalidation replaces. A look reads the nonces; copies, runs and those who wait
// belong to the nonces that were read before the run began, so that they are never
// found by a look that reads others. A tag without a nonce gets a new one.
//
// A Redis that is away costs speed and no answer: then each question is run.
package cache
