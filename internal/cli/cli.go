package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/auth/keys"
	"github.com/oskadev/mailroom/internal/terminal"
)

// gcPercent lets the heap grow to three times the live heap. The live heap is a
// few MB, and fewer collections leave more CPU for requests.
const gcPercent = 200

// commands is the command line.
type commands struct {
	Dev         devCommand         `cmd:"" default:"withargs" help:"Run everything in one process, with an embedded Redis (default)."`
	API         apiCommand         `cmd:"" name:"api" help:"Run a gateway."`
	Demo        demoCommand        `cmd:"" help:"Run the example services."`
	Worker      workerCommand      `cmd:"" help:"Alias of demo worker: run workers of the example services."`
	Serve       serveCommand       `cmd:"" help:"Run a worker in any language as a child process."`
	Call        callCommand        `cmd:"" help:"Send one request and print the reply. Exit code 1: the service answered with an error; 3: not delivered, or not answered in time."`
	Health      healthCommand      `cmd:"" help:"Check that a gateway or worker is ready. Exit code 1: it is not."`
	Ticket      ticketCommand      `cmd:"" help:"Print the state of a request. Exit code 0: it succeeded, or has not ended; 1: it failed; 3: it is unknown, or did not end in time."`
	Services    servicesCommand    `cmd:"" help:"List live services: versions, actions, routes, workers, backlog."`
	Types       typesCommand       `cmd:"" help:"Write typed clients of services in TypeScript, Python or Go."`
	OpenAPI     openapiCommand     `cmd:"" name:"openapi" help:"Print the OpenAPI document of live services, or of a version."`
	Bench       benchCommand       `cmd:"" help:"Measure rate, latencies and errors of a gateway, or of a service on the bus. Exit code 1: every request failed."`
	Keys        keysCommand        `cmd:"" help:"Manage the API keys of clients."`
	Dead        deadCommand        `cmd:"" help:"Manage the dead letters of a service."`
	Top         topCommand         `cmd:"" help:"Show rates, latencies and backlogs of all services, until Ctrl-C."`
	Tail        tailCommand        `cmd:"" help:"Show the requests of a service as they end, until Ctrl-C."`
	Pause       pauseCommand       `cmd:"" help:"Stop the delivery of requests from the mailbox of a service."`
	Resume      resumeCommand      `cmd:"" help:"End a pause."`
	Audit       auditCommand       `cmd:"" help:"List what operators did, the latest first."`
	ACL         aclCommand         `cmd:"" name:"acl" help:"Print or set Redis users with the least rights that a role needs."`
	Conformance conformanceCommand `cmd:"" help:"Check a worker in any language against the protocol. Exit code 1: a check failed."`
	Versions    versionsCommand    `cmd:"" help:"Check or show a versions file."`
	Version     versionCommand     `cmd:"" help:"Print version, commit and Go version."`
}

// description heads the help.
const description = `A REST gateway for services that read their requests from Redis Streams.

Flags may stand anywhere on the line, also before the command; "--" ends them. Every command takes --config, --namespace, --log-level and --log-format, and every command but dev takes --redis. Each flag can also be set by a variable (--log-level by MAILROOM_LOG_LEVEL, --redis by MAILROOM_REDIS_URL) or by a key of the config file. Exit code 2: a flag, an argument or a setting is wrong.`

// Run runs one command line of the program and returns its exit code. The first
// SIGINT or SIGTERM asks the command to stop; a second one ends the process.
func Run(args, env []string, stdout, stderr io.Writer) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	uuid.EnableRandPool() // saves a system call per request ID
	return execute(args, env, stdout, stderr)
}

// execute is Run without the settings of the process.
func execute(args, env []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := run(ctx, args, env, stdout, stderr)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(terminal.New(stderr), "mailroom: "+err.Error())
	}
	return exitCode(err)
}

// run is execute that neither handles signals nor prints the error.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	ended := false
	parser, err := newParser(stdout, stderr, func(int) { ended = true })
	if err != nil {
		return fmt.Errorf("set up the command line: %w", err)
	}
	l, err := sortLine(parser.Model, args)
	if err != nil {
		return usage(err)
	}
	settings, err := readSettings(l.flag("config"), env)
	if err != nil {
		return usage(err)
	}
	if err := kong.Resolvers(settings).Apply(parser); err != nil {
		return fmt.Errorf("set up the settings: %w", err)
	}
	parsed, err := parser.Parse(l.args())
	if ended { // by --help
		return nil
	}
	if err != nil {
		return usage(errors.New(keys.Redact(explain(err, l)))) // the error may repeat a key
	}
	p := &program{stdout: terminal.New(stdout), stderr: terminal.New(stderr), unknownEnv: settings.unknownEnv(parser.Model)}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(p)
}

// newParser makes a parser of command lines. It calls exit after it has printed
// a help text.
func newParser(stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(new(commands),
		kong.Name("mailroom"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ExplicitGroups([]kong.Group{{Key: globalGroup, Title: "Global flags:"}}),
	)
}

// explain adds to an error of the parser what to do about it.
func explain(err error, l line) string {
	text := err.Error()
	command := strings.Join(append([]string{"mailroom"}, l.command...), " ")
	dev := len(l.command) == 0 || l.command[0] == "dev"
	switch {
	case dev && strings.HasPrefix(text, "unknown flag --redis"):
		return text + "; dev runs a Redis of its own: name another command, such as mailroom api"
	case len(l.command) == 0 && strings.HasPrefix(text, "unexpected argument "):
		return fmt.Sprintf("unknown command %q; mailroom --help lists the commands", l.values[0])
	case strings.HasPrefix(text, "unknown flag "), strings.HasPrefix(text, "unexpected argument "), strings.HasPrefix(text, "expected "):
		return text + "; see " + command + " --help"
	default:
		return text
	}
}

// program is what every command gets.
type program struct {
	stdout, stderr *terminal.Writer
	unknownEnv     []string // variables that begin with MAILROOM_ and set nothing
}

func (p *program) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.stdout, format, args...) }

// Exit codes beside 0.
const (
	exitFailed      = 1 // the command failed, or the service answered with an error
	exitUsage       = 2 // a flag, an argument or a setting is wrong
	exitUndelivered = 3 // a request was not delivered, or not answered in time
)

// exitError is an error that chooses the exit code. Without an inner error
// nothing is printed.
type exitError struct {
	code int
	err  error
}

// usage makes an error that ends the program with exitUsage.
func usage(err error) error { return &exitError{code: exitUsage, err: err} }

// undelivered makes an error that ends the program with exitUndelivered.
func undelivered(err error) error { return &exitError{code: exitUndelivered, err: err} }

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	default:
		return exitFailed
	}
}

// version and commit are set by the linker; see Makefile and Dockerfile.
var (
	version = ""
	commit  = "" //nolint:gochecknoglobals // the linker sets nothing else
)

type versionCommand struct {
	commonFlags
	redisFlags
}

// Run prints version, commit and Go version.
func (versionCommand) Run(p *program) error {
	info, _ := debug.ReadBuildInfo()
	v, c := buildVersion(version, commit, info)
	p.printf("mailroom %s\ncommit   %s\n%s %s/%s\n", v, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// toolVersion returns the version of this binary.
func toolVersion() string {
	info, _ := debug.ReadBuildInfo()
	v, _ := buildVersion(version, commit, info)
	return v
}

// buildVersion returns the version and the commit of a binary. The linker's
// values win over those that the Go command records: the version of the module
// (go install module@version) and the revision of the checkout. The info may be
// nil.
func buildVersion(linkedVersion, linkedCommit string, info *debug.BuildInfo) (v, c string) {
	module, revision := "", ""
	if info != nil {
		module = info.Main.Version
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	return cmp.Or(linkedVersion, module, "(devel)"), cmp.Or(linkedCommit, revision, "unknown")
}
