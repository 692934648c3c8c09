package testsupport

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const (
	// RequireRedisEnv is the environment variable that, set to "required", turns the skip of a test for want of a
	// redis-server into a failure. CI sets it, so that no fault test is passed over unseen.
	RequireRedisEnv = "MAILROOM_TEST_REDIS"

	startAttempts = 5                // where ports cannot be held, another process may take it before its use
	startWait     = 10 * time.Second // for one attempt, on a machine that runs many tests at once
)

// RedisServer is a redis-server process that belongs to one test. Its methods are for the test's goroutine: they fail
// the test when the server does not do as told.
type RedisServer struct {
	t       testing.TB
	binary  string
	dir     string
	port    int
	args    []string
	process *process
}

// StartRedis starts a redis-server for one test and returns once it answers. It listens on a free loopback port, works
// in a temporary directory of its own, persists nothing and refuses writes when its memory is full
// (--save "" --appendonly no --maxmemory-policy noeviction); args are further command line options and win over these,
// for example "--appendonly", "yes", "--appendfsync", "always". It is stopped when the test ends.
//
// Where redis-server is not in PATH the test is skipped, or failed when MAILROOM_TEST_REDIS is "required".
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		withoutRedis(t, os.Getenv(RequireRedisEnv))
		return nil
	}
	s := &RedisServer{t: t, binary: binary, dir: t.TempDir(), args: args}
	for range startAttempts {
		s.port = FreePort(t)
		t.Cleanup(s.stop) // before the port is given back
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

// Addr returns the server's host and port, the same across restarts.
func (s *RedisServer) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns redis://127.0.0.1:port, the same across restarts.
func (s *RedisServer) URL() string { return "redis://" + s.Addr() }

// Pid returns the process id of the server that was started last.
func (s *RedisServer) Pid() int { return s.process.pid() }

// Kill ends the server as a crash would, with SIGKILL, and returns when it is gone. Killing a dead server does nothing.
func (s *RedisServer) Kill() { s.process.kill() }

// Restart starts the server again on the same port, in the same directory and with the same arguments, so that it
// finds what it persisted, and returns once it answers. A server that still runs is killed first.
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

// Freeze stops the server with SIGSTOP: connections stay open, and nothing on them is answered until [RedisServer.Thaw].
func (s *RedisServer) Freeze() {
	s.t.Helper()
	if err := s.process.freeze(); err != nil {
		s.t.Fatalf("freeze redis-server on %s: %v", s.Addr(), err)
	}
}

// Thaw lets a frozen server go on with SIGCONT.
func (s *RedisServer) Thaw() {
	s.t.Helper()
	if err := s.process.thaw(); err != nil {
		s.t.Fatalf("thaw redis-server on %s: %v", s.Addr(), err)
	}
}

// Do runs one command over a connection of its own and returns the answer as go-redis decodes it: a string, an int64,
// nil, a slice or a map. An error from the server fails the test.
func (s *RedisServer) Do(args ...any) any {
	s.t.Helper()
	client := newProbe(s.Addr(), startWait)
	defer func() { _ = client.Close() }() // a read-only use of the connection: nothing is lost with it
	// A cleanup may use it too, when the test's context has ended; the probe's own timeouts bound it.
	reply, err := client.Do(context.WithoutCancel(s.t.Context()), args...).Result()
	if err != nil {
		s.t.Fatalf("redis command %v on %s: %v", args, s.Addr(), err)
	}
	return reply
}

func (s *RedisServer) start() error {
	args := append([]string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(s.port),
		"--dir", s.dir,
		"--save", "",
		"--appendonly", "no",
		"--maxmemory-policy", "noeviction",
	}, s.args...)
	// The server outlives the test's context, which ends before the cleanups that may still need it.
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
