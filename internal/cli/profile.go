//go:build profile

package cli

import (
	"net/http"
	_ "net/http/pprof" // what bench/profile.sh asks for
	"os"
)

// In a binary that is built to be measured, PROFILE is where it tells its profiles.
func init() {
	if address := os.Getenv("PROFILE"); address != "" {
		go func() { _ = http.ListenAndServe(address, nil) }()
	}
}
