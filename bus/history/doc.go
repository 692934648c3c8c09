// Package history keeps a sample of the requests of a service that ended last, for its
// operators: a stream of bounded size, written by the workers of any gateway or process,
// and read by the console and by mailroom tail. It is an aid: nothing depends on it, and a
// request that is not in it was not necessarily lost.
package history
