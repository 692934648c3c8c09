package tickets

import (
	"strconv"
	"strings"
	"time"
)

// preference is what a caller prefers (https://www.rfc-editor.org/rfc/rfc7240),
// of what is understood here.
type Preference struct {
	applied string        // what to confirm; empty: nothing was preferred
	Wait    time.Duration // for the outcome; 0: not at all
}

// mostWait bounds how long a caller may have a connection wait.
const mostWait = time.Minute

// preferenceIn reads the header Prefer: respond-async, wait=SECONDS or both.
// What is not understood is ignored, as the RFC has it.
func preferenceIn(header string) Preference {
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
				waits, p.Wait = true, min(time.Duration(seconds)*time.Second, mostWait)
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

func (p Preference) Given() bool { return p.applied != "" }
