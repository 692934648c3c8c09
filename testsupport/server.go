package testsupport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	// RequireRedisEnv is an environment variable. If it is "required", a test that needs redis-server fails without one
	// instead of being skipped. CI sets it.
	RequireRedisEnv = "MAILROOM_TEST_REDIS"

	startAttempts = 5                // another process may take a port that cannot be reserved
	startWait     = 10 * time.Second // for one attempt
)

var errEnded = errors.New("the redis-server has ended")

// RedisServer is a redis-server process of one test. Call its methods from the goroutine of the test: an error fails the
// test.
type RedisServer struct {
	t       testing.TB
	binary  string
	dir     string
	port    int
	first   []string // arguments before all options
	args    []string
	process *process
}

// StartRedis starts a redis-server for one test, and returns when it answers. The server listens on a free loopback port,
// uses a temporary directory, persists nothing, and refuses writes if its memory is full (--save "" --appendonly no
// --maxmemory-policy noeviction). args are further command-line options, which override these, for example "--appendonly",
// "yes", "--appendfsync", "always". The server is stopped when the test ends.
//
// If redis-server is not in PATH, the test is skipped; with MAILROOM_TEST_REDIS=required it fails.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startServer(t, nil, args)
}

// startServer starts a redis-server. first are arguments that come before all options, such as a file.
func startServer(t testing.TB, first, args []string) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		withoutRedis(t, os.Getenv(RequireRedisEnv))
		return nil
	}
	s := &RedisServer{t: t, binary: binary, dir: t.TempDir(), first: first, args: args}
	for range startAttempts {
		s.port = FreePort(t)
		t.Cleanup(s.stop) // before the port is released
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatalf("start redis-server, %d attempts, the last one: %v", startAttempts, err)
	return nil
}

func (s *RedisServer) stop() {
	if s.process != nil {
		s.process.stop()
	}
}

func withoutRedis(t testing.TB, mode string) {
	t.Helper()
	const missing = "this test needs a redis-server in PATH; install one, for example: apt-get install redis-server"
	if mode == "required" {
		t.Fatalf("%s (%s=required)", missing, RequireRedisEnv)
	}
	t.Skip(missing)
}

// Addr returns the host and port of the server. A restart keeps them.
func (s *RedisServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns the address of the server, redis://127.0.0.1:port. A restart keeps it.
func (s *RedisServer) URL() string { return "redis://" + s.Addr() }

// Pid returns the process id of the present server, or of the last one.
func (s *RedisServer) Pid() int { return s.process.pid() }

// Kill sends SIGKILL, like a crash, and returns when the server has ended. It does nothing if the server has ended already.
func (s *RedisServer) Kill() { s.process.kill() }

// Restart starts the server again, with the same port, directory and arguments, and returns when it answers. The server
// loads the data that it persisted. A server that still runs is killed first.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.Kill()
	var err error
	for range startAttempts {
		if err = s.start(); err == nil {
			return
		}
	}
	s.t.Fatalf("restart redis-server on %s, %d attempts, the last one: %v", s.Addr(), startAttempts, err)
}

// Freeze sends SIGSTOP: connections stay open, and the server answers nothing until [RedisServer.Thaw].
func (s *RedisServer) Freeze() {
	s.t.Helper()
	Freeze(s.t, s.Pid())
}

// Thaw sends SIGCONT, which continues a frozen server.
func (s *RedisServer) Thaw() {
	s.t.Helper()
	Thaw(s.t, s.Pid())
}

// Do runs one command on a new connection, and returns the answer as go-redis decodes it: a string, an int64, nil, a slice
// or a map. An error of the server fails the test.
func (s *RedisServer) Do(args ...any) any {
	s.t.Helper()
	reply, err := s.do(startWait, args)
	if err != nil {
		s.t.Fatalf("redis command %v on %s: %v", args, s.Addr(), err)
	}
	return reply
}

// try is Do for a server that may refuse the command, or not answer within a second.
func (s *RedisServer) try(args ...any) (any, error) { return s.do(time.Second, args) }

func (s *RedisServer) do(timeout time.Duration, args []any) (any, error) {
	select {
	case <-s.process.gone: // the client would print the failure to standard error
		return nil, errEnded
	default:
	}
	client := newProbe(s.Addr(), timeout)
	defer func() { _ = client.Close() }() // an error changes nothing
	// A cleanup may call Do after the context of the test has ended; the timeouts of the probe limit it.
	return client.Do(context.WithoutCancel(s.t.Context()), args...).Result()
}

func (s *RedisServer) start() error {
	args := slices.Concat(s.first, []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(s.port),
		"--dir", s.dir,
		"--save", "",
		"--appendonly", "no",
		"--maxmemory-policy", "noeviction",
	}, s.args)
	// The context of the test would end before its cleanups, which may still use the server.
	p, err := startProcess(context.WithoutCancel(s.t.Context()), s.dir, s.binary, args)
	if err != nil {
		return err
	}
	s.process = p
	if err := awaitRedis(p, s.Addr()); err != nil {
		p.kill()
		return err
	}
	return nil
}
