// Command shape prints figures of the code's structure, one row each, so that a change
// of structure can be compared with the one before: `make shape`.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/oskadev/mailroom/"

// file is one parsed Go file.
type file struct {
	path string // from the root
	dir  string
	test bool
	tree *ast.File
	size int // lines
}

func main() {
	files, err := read(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
	out := os.Stdout
	fmt.Fprintln(out, "Go lines that ship:                   ", lines(files))
	fmt.Fprintln(out, "Example functions:                    ", examples(files))
	count, name := largestPackage(files)
	fmt.Fprintf(out, "files of the largest package:          %d (%s)\n", count, name)
	fields, methods := largestTypes(files)
	fmt.Fprintf(out, "fields of the largest type:            %s\n", fields)
	fmt.Fprintf(out, "methods of the largest type:           %s\n", methods)
	unused := unusedExports(files)
	fmt.Fprintf(out, "exported by bus, unused outside:       %d %s\n", len(unused), strings.Join(unused, " "))
	for _, dir := range []string{"bus", "api"} {
		arrows, against := packageArrows(files, dir)
		fmt.Fprintf(out, "arrows between files of a %s package: %d, against the best order %d (%d %%)\n", dir, arrows, against, 100*against/max(arrows, 1))
	}
}

// read parses all Go files below a directory.
func read(root string) ([]*file, error) {
	var files []*file
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		tree, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, &file{
			path: path, dir: filepath.Dir(path), test: strings.HasSuffix(path, "_test.go"), tree: tree, size: set.File(tree.Pos()).LineCount(),
		})
		return nil
	})
	return files, err
}

// ships reports whether a file is part of the product: no test, nor only for tests.
func (f *file) ships() bool {
	return !f.test && !slices.ContainsFunc([]string{"testsupport", "bus/bustest", "internal/shape"}, func(dir string) bool {
		return f.dir == dir || strings.HasPrefix(f.dir, dir+"/")
	})
}

func lines(files []*file) (n int) {
	for _, f := range files {
		if f.ships() {
			n += f.size
		}
	}
	return n
}

func examples(files []*file) (n int) {
	for _, f := range files {
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example") {
				n++
			}
		}
	}
	return n
}

func largestPackage(files []*file) (int, string) {
	count := make(map[string]int)
	for _, f := range files {
		if f.ships() {
			count[f.dir]++
		}
	}
	name := slices.MaxFunc(slices.Sorted(maps.Keys(count)), func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	return count[name], name
}

// largestTypes leaves out configs and options: they are lists of settings.
func largestTypes(files []*file) (fields, methods string) {
	inFields, inMethods := make(map[string]int), make(map[string]int)
	for _, f := range files {
		if !f.ships() {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok && !isSettings(spec.Name.Name) {
					inFields[f.dir+"."+spec.Name.Name] = s.Fields.NumFields()
				}
			}
			return true
		})
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				inMethods[f.dir+"."+receiver(fn)]++
			}
		}
	}
	return top(inFields), top(inMethods)
}

func isSettings(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "config") || strings.HasSuffix(name, "options") || strings.HasSuffix(name, "flags") || strings.HasSuffix(name, "command") || name == "commands"
}

func receiver(fn *ast.FuncDecl) string {
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	name, _ := t.(*ast.Ident)
	return name.Name
}

// top lists the three largest.
func top(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var b strings.Builder
	for _, name := range names[:min(3, len(names))] {
		fmt.Fprintf(&b, "%d (%s) ", counts[name], name)
	}
	return b.String()
}

// unusedExports lists the package-level names that a package of the bus exports and
// that no other package uses, tests aside. The type of an exported field counts as used.
func unusedExports(files []*file) []string {
	used := make(map[string]bool)
	for _, f := range files {
		if !f.test {
			f.uses(used)
		}
	}
	fieldTypes := fieldTypes(files)
	var unused []string
	for _, f := range files {
		if !f.ships() || f.dir != "bus" && !strings.HasPrefix(f.dir, "bus/") {
			continue
		}
		for name := range declared(f) {
			if ast.IsExported(name) && !used[f.dir+"."+name] && !fieldTypes[f.dir+"."+name] {
				unused = append(unused, f.dir+"."+name)
			}
		}
	}
	slices.Sort(unused)
	return unused
}

// fieldTypes are the types of exported fields, as "dir.Name".
func fieldTypes(files []*file) map[string]bool {
	types := make(map[string]bool)
	for _, f := range files {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || len(field.Names) == 0 || !field.Names[0].IsExported() {
				return true
			}
			ast.Inspect(field.Type, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					types[f.dir+"."+id.Name] = true
				}
				return true
			})
			return true
		})
	}
	return types
}

// uses adds the names of our own packages that a file uses, as "dir.Name".
func (f *file) uses(used map[string]bool) {
	imports := make(map[string]string)
	for _, spec := range f.tree.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if dir, ours := strings.CutPrefix(path, module); ours {
			imports[name] = dir
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && imports[x.Name] != "" {
				used[imports[x.Name]+"."+s.Sel.Name] = true
			}
		}
		return true
	})
}

// declared are the package-level names of a file.
func declared(f *file) map[string]bool {
	names := make(map[string]bool)
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range s.Names {
						names[name.Name] = true
					}
				}
			}
		}
	}
	return names
}

// packageArrows counts, over the packages at and below a directory, the pairs of files
// of which one names something that the other declares, and those that run against
// the order of the files in which the fewest do.
func packageArrows(files []*file, root string) (arrows, against int) {
	packages := make(map[string][]*file)
	for _, f := range files {
		if f.ships() && (f.dir == root || strings.HasPrefix(f.dir, root+"/")) {
			packages[f.dir] = append(packages[f.dir], f)
		}
	}
	for _, members := range packages {
		graph := arrowsOf(members)
		for _, to := range graph {
			arrows += len(to)
		}
		against += backArrows(graph)
	}
	return arrows, against
}

func arrowsOf(members []*file) map[int]map[int]bool {
	home := make(map[string]int)
	for i, f := range members {
		for name := range declared(f) {
			home[name] = i
		}
	}
	graph := make(map[int]map[int]bool)
	for i, f := range members {
		graph[i] = make(map[int]bool)
		inspectUses(f.tree, func(name string) {
			if at, known := home[name]; known && at != i {
				graph[i][at] = true
			}
		})
	}
	return graph
}

// inspectUses calls f with the names that a node may use of its package: no fields,
// no keys of literals, and of a selector only the part before the dot.
func inspectUses(n ast.Node, f func(name string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			inspectUses(n.X, f)
			return false
		case *ast.Field:
			inspectUses(n.Type, f)
			return false
		case *ast.KeyValueExpr:
			inspectUses(n.Value, f)
			return false
		case *ast.Ident:
			f(n.Name)
		}
		return true
	})
}

// backArrows orders the files greedily (Eades, Lin, Smyth 1993) and counts the arrows
// that run back.
func backArrows(graph map[int]map[int]bool) (back int) {
	left := make(map[int]bool)
	for i := range graph {
		left[i] = true
	}
	position := make(map[int]int)
	for len(left) > 0 {
		first := firstOf(graph, left)
		position[first] = len(position)
		delete(left, first)
	}
	for i, to := range graph {
		for j := range to {
			if position[j] < position[i] {
				back++
			}
		}
	}
	return back
}

// firstOf returns the file to stand before all others that are left: one without an
// arrow to it, else the one with the most arrows from it.
func firstOf(graph map[int]map[int]bool, left map[int]bool) int {
	best, score := -1, 0
	for _, i := range slices.Sorted(maps.Keys(left)) {
		out, in := 0, 0
		for j := range left {
			if graph[i][j] {
				out++
			}
			if graph[j][i] {
				in++
			}
		}
		if in == 0 {
			return i
		}
		if best < 0 || out-in > score {
			best, score = i, out-in
		}
	}
	return best
}
