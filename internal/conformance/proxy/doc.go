// Package proxy is a proxy between a worker and Redis. It records every command and answer, and
// injects faults. Open proxy.go first.
package proxy
