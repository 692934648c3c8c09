// Package replicas reads what a Redis says about its replicas (INFO replication).
package replicas

import (
	"strconv"
	"strings"
)

// maxLag is the age in seconds of the last sign of life of a replica from which it counts as
// silent. A replica gives one each second.
const maxLag = 3

// State is what a server says about itself and its replicas.
type State struct {
	// Master reports that the server is a master.
	Master bool
	// History is the replication ID. It changes when a replica becomes the master, and when a
	// master is restarted: the data may lack the last writes then. Empty: not known.
	History string
	// Online is the number of connected replicas, Fresh that of those which are not silent.
	Online, Fresh int
}

// Of reads the answer to INFO replication.
func Of(info string) State {
	var s State
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "role":
			s.Master = value == "master"
		case name == "master_replid":
			s.History = value
		case strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online"):
			s.Online++
			_, lag, _ := strings.Cut(value, "lag=")
			if n, err := strconv.Atoi(lag); err == nil && n <= maxLag {
				s.Fresh++
			}
		}
	}
	return s
}
