package route

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/oskadev/mailroom/versions"
)

// versionsFile is the versions file in force. It is safe for concurrent use.
type versionsFile struct {
	name string // empty: the text came without a file, and never changes

	mu      sync.Mutex
	text    []byte // the text that was taken last, valid or not
	seen    []byte // the text at the last check
	current *versions.File
	refused []byte // a text that is not in force for its faults; nil: none
	logged  string // the faults against manifests that were logged last
}

// newVersionsFile reads the versions file, or parses a text where name is empty. An empty
// text without a file has no versions.
func newVersionsFile(name string, text []byte) (*versionsFile, error) {
	v := &versionsFile{name: name, text: text}
	if name != "" {
		var err error
		if v.text, err = os.ReadFile(name); err != nil { //nolint:gosec // the operator names the file
			return nil, fmt.Errorf("versions file: %w", err)
		}
	}
	if len(v.text) == 0 && name == "" {
		return v, nil
	}
	parsed, faults := versions.Parse(v.text, nil)
	if parsed == nil {
		return nil, errors.New("versions file:\n" + v.named(faults))
	}
	v.current = parsed
	return v, nil
}

// named returns faults as text, each after the name of the file.
func (v *versionsFile) named(faults versions.Faults) string {
	name := v.name
	if name == "" {
		name = "versions"
	}
	return name + ":" + strings.ReplaceAll(faults.String(), "\n", "\n"+name+":")
}

// inForce returns the file in force; nil: there are no versions.
func (v *versionsFile) inForce() *versions.File {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// take reports whether a text is to be parsed: it differs from the last one, and two
// checks in a row have found it, since half of a written file may be valid too. A forced
// one always is.
func (v *versionsFile) take(text []byte, forced bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	whole := bytes.Equal(text, v.seen)
	v.seen = text
	if !forced && (!whole || bytes.Equal(text, v.text)) {
		return false
	}
	v.text = text
	return true
}

// enforce puts a file in force.
func (v *versionsFile) enforce(parsed *versions.File) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current, v.refused, v.logged = parsed, nil, ""
}

// refuse keeps a text that is not in force: the services may change so that it fits.
func (v *versionsFile) refuse(text []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = text
}

// refusedText returns the text that is not in force; nil: there is none.
func (v *versionsFile) refusedText() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refused
}

// unlogged reports whether faults are to be logged: they are not those of the last call.
func (v *versionsFile) unlogged(faults versions.Faults) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := faults.String()
	changed := text != v.logged
	v.logged = text
	return changed && len(faults) > 0
}
