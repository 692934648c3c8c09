package versions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is an error or a warning at one place of a versions file.
type Fault struct {
	// Line and Column count from 1.
	Line, Column int
	Problem      string
	// Warning reports that the file can still be used.
	Warning bool
}

// String returns the fault in the form of compilers, without the name of the file:
// "line:column: problem".
func (f Fault) String() string {
	if f.Warning {
		return fmt.Sprintf("%d:%d: warning: %s", f.Line, f.Column, f.Problem)
	}
	return fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.Problem)
}

// position is a place in a file; both numbers count from 1.
type position struct{ line, column int }

// Faults lists the faults of a file, in the order of the file.
type Faults []Fault

// String returns the faults, one per line.
func (f Faults) String() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Fatal reports whether one of the faults is not a warning: the file cannot be used.
func (f Faults) Fatal() bool { return slices.ContainsFunc(f, func(f Fault) bool { return !f.Warning }) }

// add adds an error.
func (f *Faults) add(at position, format string, args ...any) {
	*f = append(*f, Fault{Line: at.line, Column: at.column, Problem: fmt.Sprintf(format, args...)})
}

// warn adds a warning.
func (f *Faults) warn(at position, format string, args ...any) {
	*f = append(*f, Fault{Line: at.line, Column: at.column, Warning: true, Problem: fmt.Sprintf(format, args...)})
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}
