//go:build profile

package main

import (
	"net/http"
	_ "net/http/pprof" // for bench/profile.sh
	"os"
)

// A binary that is built with the tag profile serves its profiles at the address
// in the variable PROFILE.
func init() {
	if address := os.Getenv("PROFILE"); address != "" {
		go func() { _ = http.ListenAndServe(address, nil) }()
	}
}
