// Package limits bounds how often requests may come, over all gateways. It counts in
// Redis by the generic cell rate algorithm. While Redis is slow or unreachable, each
// gateway counts for itself.
//
// It does not bound the requests in flight (internal/call does) nor connections and
// sizes (api/edge does).
//
// Open quotas.go first: it counts a request at each stage of its path.
//
//	rule.go     what the operator writes: "100/s per principal"
//	rate.go     the rate of a rule: "100/s"
//	quotas.go   rules → counts, headers, 429
//	limiter.go  one count in Redis; local.go is the same in this process
//	address.go  the address of a client behind trusted proxies
package limits
