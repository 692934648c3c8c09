// Package limits says how often something may happen, over all gateways: it
// keeps its counts in Redis, by the generic cell rate algorithm. While Redis is
// slow or away each process counts for itself.
package limits
