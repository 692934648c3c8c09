// Package echo is a service for trying and measuring things: it answers at once, late, with an error or not at all, as
// it is asked to. It keeps nothing but a count.
package echo
