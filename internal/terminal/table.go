package terminal

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table prints rows in columns. No cell can leave its column.
type Table struct{ columns *tabwriter.Writer }

// NewTable returns a table with the row head. Call Flush at the end.
func NewTable(out io.Writer, head ...any) *Table {
	t := &Table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.Row(head...)
	return t
}

// Row adds a row. A cell of "" is printed as "-".
func (t *Table) Row(cells ...any) {
	for i, cell := range cells {
		end := "\t"
		if i == len(cells)-1 {
			end = "\n"
		}
		_, _ = io.WriteString(t.columns, OrDash(Plain(fmt.Sprint(cell)))+end)
	}
}

// Flush prints the rows.
func (t *Table) Flush() error { return t.columns.Flush() }

// OrDash returns a text, or "-" for an empty one.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
