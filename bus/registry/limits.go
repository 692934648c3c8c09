package registry

import "time"

// limits bound what one service can make a registry read, hold and compute.
type limits struct {
	names     int           // known services
	workers   int           // listed workers of a service; more are counted
	manifests int           // different manifests of live workers of a service
	bytes     int           // of a manifest
	allBytes  int           // of all manifests of live workers of a service
	actions   int           // of a manifest
	routes    int           // of an action
	judged    int           // manifests of a service that are read in a minute
	answer    int           // bytes of an answer of Redis
	timeout   time.Duration // of reading a service
	forget    time.Duration // until a service without a name and without workers is gone
}

func defaultLimits() limits {
	return limits{
		names: 2000, workers: 1000, manifests: 32, bytes: 256 << 10, allBytes: 512 << 10, actions: 2000, routes: 32, judged: 30,
		answer: 4 << 20, timeout: time.Second, forget: 5 * time.Second,
	}
}

// parallel is the number of services that are read at the same time.
const parallel = 8

// maxWord is the length of the identifier of a worker, and of a digest.
const maxWord = 256
