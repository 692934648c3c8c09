// Package frames is the protocol for services and clients that do not use Redis: JSON
// objects, one a message. It reads and writes frames, and knows neither transports nor
// services.
//
// docs/reference/frames.md describes the protocol, testdata/ has golden files of it.
//
//	worker.go  the frames of a worker
//	bye.go     why a connection ends
//	parse.go   reads a frame
package frames
