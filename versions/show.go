package versions

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Show prints the versions, with their routes and steps, as a tree. Only selects one
// version by its name; empty means all.
func (f *File) Show(w io.Writer, only string) {
	for _, v := range f.Versions {
		if only != "" && v.Name != only {
			continue
		}
		_, _ = fmt.Fprintln(w, v.Name+v.note())
		for i, p := range v.Plans {
			note := ""
			if p.Retirement != v.Retirement {
				note = p.note()
			}
			p.show(w, note, i == len(v.Plans)-1)
		}
	}
}

func (r Retirement) note() string {
	var notes []string
	if !r.Deprecated.IsZero() {
		notes = append(notes, "deprecated "+r.Deprecated.Format(time.DateOnly))
	}
	if !r.Sunset.IsZero() {
		notes = append(notes, "sunset "+r.Sunset.Format(time.DateOnly))
	}
	if len(notes) == 0 {
		return ""
	}
	return "  (" + strings.Join(notes, ", ") + ")"
}

func branch(last bool) (here, below string) {
	if last {
		return "└─ ", "   "
	}
	return "├─ ", "│  "
}

func (p *Plan) show(w io.Writer, note string, last bool) {
	here, indent := branch(last)
	title := p.Method + " " + p.Path
	if p.Summary != "" {
		title += "  " + flat(p.Summary)
	}
	_, _ = fmt.Fprintln(w, here+title+note)
	for i, stage := range p.Stages {
		here, below := branch(i == len(p.Stages)-1)
		if len(stage) == 1 {
			_, _ = fmt.Fprintln(w, indent+here+stage[0].oneLine())
			continue
		}
		_, _ = fmt.Fprintln(w, indent+here+"together")
		for j, s := range stage {
			here, _ := branch(j == len(stage)-1)
			_, _ = fmt.Fprintln(w, indent+below+here+s.oneLine())
		}
	}
}

// oneLine returns a step in one line.
func (s *Step) oneLine() string {
	var b strings.Builder
	if s.Refusal != nil {
		fmt.Fprintf(&b, "refuse %d %s", s.Refusal.Status, s.Refusal.Code)
	} else {
		texts := make([]string, len(s.args))
		for i, e := range s.args {
			texts[i] = flat(e.text)
		}
		fmt.Fprintf(&b, "%s: %s %s(%s)", s.Name, s.Service, s.Action, strings.Join(texts, ", "))
	}
	if s.when != nil {
		b.WriteString("  when " + flat(s.when.text))
	}
	return b.String()
}

// flat joins the lines of a text.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }
