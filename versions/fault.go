package versions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is something wrong with a versions file, and where.
type Fault struct {
	Line, Column int
	Problem      string
	// Warning says that the file can be used all the same.
	Warning bool
}

// String is the fault as compilers tell theirs, behind the file's name.
func (f Fault) String() string {
	if f.Warning {
		return fmt.Sprintf("%d:%d: warning: %s", f.Line, f.Column, f.Problem)
	}
	return fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.Problem)
}

// Faults are all that is wrong with a file, in its order.
type Faults []Fault

// String lists them, one a line.
func (f Faults) String() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Fatal reports whether the file cannot be used.
func (f Faults) Fatal() bool { return slices.ContainsFunc(f, func(f Fault) bool { return !f.Warning }) }

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}
