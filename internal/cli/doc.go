// Package cli is the command line of mailroom: it parses flags and settings and
// runs one command. It holds no logic of the gateway, the bus or the services.
//
// Open cli.go first: it lists the commands. Each command has a file of its own,
// named like the command. The file flags.go holds flags that several commands share,
// settings.go reads the environment and the config file, and line.go sorts the
// arguments so that flags may stand anywhere.
package cli

//go:generate go test -run ^TestSettingsReferenceIsCurrent$ -update .
