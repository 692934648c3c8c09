package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"github.com/oskadev/mailroom/api/keys"
)

// Exit codes beside 0.
const (
	exitFailed      = 1 // the command failed, or the service said no
	exitUsage       = 2 // wrong flags, arguments or settings
	exitUndelivered = 3 // a request could not be delivered, or was not answered in time
)

// gcPercent lets the heap grow to three times what lives: that is a few MB
// here, and collecting it less often is time for requests.
const gcPercent = 200

// Run runs one command line of the program and returns its exit code. The first
// SIGINT or SIGTERM asks the command to stop; a second one ends the process.
func Run(args, env []string, stdout, stderr io.Writer) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	uuid.EnableRandPool() // saves a system call per request ID
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := run(ctx, args, env, stdout, stderr)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(stderr, "mailroom: "+err.Error())
	}
	return exitCode(err)
}

// exitError is an error that chooses the exit code.
type exitError struct {
	code int
	err  error
}

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

// commands is the command line. Flags stand behind the command, in any place.
type commands struct {
	Dev      devCommand      `cmd:"" default:"withargs" help:"Everything in one process, nothing to install (the default)."`
	API      apiCommand      `cmd:"" name:"api" help:"A gateway against a real Redis."`
	Worker   workerCommand   `cmd:"" help:"The example services, all or the named ones, against a real Redis."`
	Call     callCommand     `cmd:"" help:"One request from the shell. Exit code 0: ok; 1: the service said no; 2: wrong usage; 3: not delivered or not answered in time."`
	Ticket   ticketCommand   `cmd:"" help:"What became of a request. Exit code 0: it succeeded, or goes on; 1: it failed; 2: wrong usage; 3: nothing is known of it, or it did not end in time."`
	Services servicesCommand `cmd:"" help:"Live services: versions, actions, routes, workers, backlog."`
	Bench    benchCommand    `cmd:"" help:"Load on a running gateway, or straight on the bus: rate, latencies, errors. Exit code 1 when every request failed."`
	Keys     keysCommand     `cmd:"" help:"The API keys of clients: create, list, revoke."`
	Dead     deadCommand     `cmd:"" help:"The dead letters of a service: list, show, replay, drop."`
	ACL      aclCommand      `cmd:"" name:"acl" help:"Redis users with the rights of a role and no others: prints them, or sets them."`
	Versions versionsCommand `cmd:"" help:"The versions of the API: check, show."`
	Version  versionCommand  `cmd:"" help:"Version, commit and Go version."`
}

// run is the program without its surroundings.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	settings, err := readSettings(args, env)
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	var cli commands
	ended := false
	parser, err := kong.New(&cli,
		kong.Name("mailroom"),
		kong.Description("One REST front door before many small services, with Redis as the only infrastructure.\n\n"+
			"Every flag can be given by environment, --log-level as MAILROOM_LOG_LEVEL and --redis as MAILROOM_REDIS_URL, "+
			"or as a key of the config file."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { ended = true }),
		kong.Resolvers(settings),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		return fmt.Errorf("set up the command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	if ended { // --help has been answered
		return nil
	}
	if err != nil {
		return &exitError{code: exitUsage, err: errors.New(keys.Redact(err.Error()))} // it may repeat what was given
	}
	p := &program{stdout: stdout, stderr: stderr, unknownEnv: settings.unknownEnv(parser.Model)}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(p)
}

// program is what every command gets.
type program struct {
	stdout, stderr io.Writer
	unknownEnv     []string
}

func (p *program) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.stdout, format, args...) }

// unknownVariables names the variables that look like ours and mean nothing.
func (p *program) unknownVariables() string { return strings.Join(p.unknownEnv, ", ") }
