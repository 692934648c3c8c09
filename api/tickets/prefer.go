package tickets

import (
	"strconv"
	"strings"
	"time"
)

// Preference is the header Prefer of a request (https://www.rfc-editor.org/rfc/rfc7240).
type Preference struct {
	applied string        // header Preference-Applied; empty: no preference
	Wait    time.Duration // the time to wait for the outcome; 0: answer at once
}

// maxWait bounds the time that a request waits for an outcome.
const maxWait = time.Minute

// parsePrefer parses the header Prefer: respond-async, wait=SECONDS or both. It ignores
// unknown and invalid preferences, as the RFC requires.
func parsePrefer(header string) Preference {
	var p Preference
	async, waits := false, false
	for part := range strings.SplitSeq(header, ",") {
		token, _, _ := strings.Cut(part, ";")
		name, value, _ := strings.Cut(token, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			async = true
		case "wait":
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err == nil && !waits { // the first counts
				waits, p.Wait = true, min(time.Duration(seconds)*time.Second, maxWait)
			}
		}
	}
	switch {
	case waits && async:
		p.applied = "respond-async, wait=" + strconv.Itoa(int(p.Wait/time.Second))
	case waits:
		p.applied = "wait=" + strconv.Itoa(int(p.Wait/time.Second))
	case async:
		p.applied = "respond-async"
	}
	return p
}

// Given reports whether the request has a preference.
func (p Preference) Given() bool { return p.applied != "" }
