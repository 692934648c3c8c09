// Command mailroom is a REST gateway for services that read their requests from Redis Streams. See README.md.
package main

import (
	"os"

	"github.com/oskadev/mailroom/internal/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }
