package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// line is a command line, sorted. The parser wants flags behind their command
// and a list of arguments in one piece; people write them in any order.
type line struct {
	command []string // names of commands, such as dead, list
	flags   []string // --name or --name=value
	values  []string // all other arguments
}

// sortLine splits a command line. Everything behind "--" is an argument, and so
// is a negative number. A flag that takes a value takes the next argument.
func sortLine(app *kong.Application, args []string) (line, error) {
	var l line
	takesValue := valueFlags(app)
	for node := app.Node; len(args) > 0; {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			l.values = append(l.values, args...)
			args = nil
		case !isFlag(arg):
			if child := subcommand(node, arg); child != nil && len(l.values) == 0 {
				node = child
				l.command = append(l.command, arg)
			} else {
				l.values = append(l.values, arg)
			}
		case takesValue[strings.TrimPrefix(arg, "--")]:
			if len(args) == 0 || isFlag(args[0]) {
				return line{}, fmt.Errorf("%[1]s has no value: write %[1]s=VALUE", arg)
			}
			l.flags = append(l.flags, arg+"="+args[0])
			args = args[1:]
		default:
			l.flags = append(l.flags, arg)
		}
	}
	return l, nil
}

// args returns the line in the parser's order.
func (l line) args() []string {
	args := slices.Concat(l.command, l.flags)
	if len(l.values) > 0 {
		args = append(append(args, "--"), l.values...)
	}
	return args
}

// flag returns the value of a flag, and "" without one.
func (l line) flag(name string) string {
	found := ""
	for _, flag := range l.flags {
		if value, ok := strings.CutPrefix(flag, "--"+name+"="); ok {
			found = value
		}
	}
	return found
}

// isFlag says whether an argument begins a flag. No flag begins with a digit.
func isFlag(arg string) bool {
	if len(arg) < 2 || arg[0] != '-' {
		return false
	}
	number := strings.TrimPrefix(arg[1:], ".")
	return number == "" || number[0] < '0' || number[0] > '9'
}

func subcommand(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// valueFlags holds the flags that take a value. A flag of that name takes one at
// every command, so that its value is known before the command is.
func valueFlags(app *kong.Application) map[string]bool {
	takes := make(map[string]bool)
	eachFlag(app.Node, func(flag *kong.Flag) {
		if !flag.IsBool() {
			takes[flag.Name] = true
		}
	})
	return takes
}

// eachFlag calls do for the flags of a command and of all commands below it.
func eachFlag(node *kong.Node, do func(*kong.Flag)) {
	for _, flag := range node.Flags {
		do(flag)
	}
	for _, child := range node.Children {
		eachFlag(child, do)
	}
}
