package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/versions"
)

// lookAtVersions is how often the versions file is looked at. What two looks find is
// taken: the half of a file that is being written may be a correct file too.
const lookAtVersions = 500 * time.Millisecond

// versioned is the versions file in force.
type versioned struct {
	file string // empty: there is none to look at again

	mu      sync.Mutex
	text    []byte // as it was taken last, good or bad
	seen    []byte // at the last look
	current *versions.File
	refused []byte // a text that is not in force for its faults; nil: none
	told    string // the faults against manifests that were logged last
}

// newVersioned reads the versions file, or takes a text. A bad one is an error.
func newVersioned(file string, text []byte) (*versioned, error) {
	v := &versioned{file: file, text: text}
	if file != "" {
		var err error
		if v.text, err = os.ReadFile(file); err != nil { //nolint:gosec // the operator names the file
			return nil, fmt.Errorf("versions file: %w", err)
		}
	}
	if len(v.text) == 0 && file == "" {
		return v, nil
	}
	parsed, faults := versions.Parse(v.text, nil)
	if parsed == nil {
		return nil, errors.New("versions file:\n" + v.named(faults))
	}
	v.current = parsed
	return v, nil
}

// named lists faults behind the file's name.
func (v *versioned) named(faults versions.Faults) string {
	name := v.file
	if name == "" {
		name = "versions"
	}
	return name + ":" + strings.ReplaceAll(faults.String(), "\n", "\n"+name+":")
}

func (v *versioned) inForce() *versions.File {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// watchVersions reads the file again when it changes, and on SIGHUP, until the context
// ends. A bad one leaves the one before in force.
func (r *Router) Watch(ctx context.Context) {
	v := r.versioned
	if v.file == "" {
		return
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	ticker := time.NewTicker(lookAtVersions)
	defer ticker.Stop()
	missing := false
	for {
		asked := false
		select {
		case <-again:
			asked = true
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		text, err := os.ReadFile(v.file)
		if err != nil {
			if !missing || asked {
				r.log.Error("the versions file cannot be read, the one before stays in force", "file", v.file, "error", err)
			}
			missing = true
			continue
		}
		missing = false
		if v.take(text, asked) {
			r.reload(text)
		}
	}
}

// take reports whether a text that was read is another than the one before, and whole;
// or what somebody asked for.
func (v *versioned) take(text []byte, asked bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	whole := bytes.Equal(text, v.seen)
	v.seen = text
	if !asked && (!whole || bytes.Equal(text, v.text)) {
		return false
	}
	v.text = text
	return true
}

// reloadVersions puts a file in force, unless it is bad: by itself, or by what the
// services declare.
func (r *Router) reload(text []byte) {
	r.building.Lock() // the services stay as they are meanwhile, or rebuild it afterwards
	defer r.building.Unlock()
	services := r.Table.Load().Services
	parsed, faults := versions.Parse(text, services)
	if parsed == nil {
		r.log.Error("the versions file is bad, the one before stays in force", "faults", r.versioned.named(faults))
		r.versioned.refuse(text)
		return
	}
	r.enforce(parsed)
	r.rebuild(services)
}

// enforce puts a file in force.
func (r *Router) enforce(parsed *versions.File) {
	v := r.versioned
	v.mu.Lock()
	v.current, v.refused, v.told = parsed, nil, ""
	v.mu.Unlock()
	r.log.Info("the versions file is in force", "file", v.file, "versions", len(parsed.Versions))
}

// refuse keeps a text that is not in force: what it lacks may come.
func (v *versioned) refuse(text []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = text
}

// reconsider tries again the text that was refused: the services are others now.
func (r *Router) reconsider(services registry.Snapshot) {
	v := r.versioned
	v.mu.Lock()
	text := v.refused
	v.mu.Unlock()
	if text == nil {
		return
	}
	if parsed, _ := versions.Parse(text, services); parsed != nil {
		r.enforce(parsed)
	}
}

// rebuild makes the table of routes anew. Its caller holds the lock of tables.
func (r *Router) rebuild(services registry.Snapshot) {
	r.reconsider(services)
	file := r.versioned.inForce()
	t := BuildTable(services, r.log)
	t.versions = make(map[string]*versionTable)
	if file != nil {
		for _, v := range file.Versions {
			t.versions[v.Name] = newVersionTable(v, services, r.log)
			for _, p := range v.Plans {
				t.patterns[p.Name()] = true
			}
		}
		r.warnOfPlans(file, services)
	}
	r.Table.Store(t)
}

// warnOfPlans logs what of a versions file does not fit what services declare, once
// for the same faults: a service may have changed since the file was read.
func (r *Router) warnOfPlans(file *versions.File, services registry.Snapshot) {
	faults := slices.DeleteFunc(file.Check(services), func(f versions.Fault) bool { return f.Warning })
	v := r.versioned
	v.mu.Lock()
	defer v.mu.Unlock()
	said := faults.String()
	if said != v.told && len(faults) > 0 {
		r.log.Error("versions do not fit what the services declare", "faults", v.named(faults))
	}
	v.told = said
}
