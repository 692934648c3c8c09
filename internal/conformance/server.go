package conformance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// errNoRedis tells what to install.
var errNoRedis = errors.New("redis-server is not in PATH: install Redis 7.0 or newer, such as: apt-get install redis-server")

// server is a redis-server process.
type server struct {
	process *process
	dir     string
	address string
	output  tail
}

// startServer starts a redis-server on a free port and waits until it answers.
func startServer() (*server, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	for range 5 { // another process may take the port
		var s *server
		if s, err = tryServer(binary); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("start redis-server: %w", err)
}

func tryServer(binary string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if s.dir, err = os.MkdirTemp("", "mailroom-conformance-"); err != nil {
		return nil, err
	}
	s.process, err = startProcess([]string{
		binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
	}, os.Environ(), &s.output)
	if err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); {
		c, err := dial(s.address)
		if err == nil {
			info, err := c.do("INFO", "server")
			c.close()
			if err == nil && strings.Contains(info.text, fmt.Sprintf("process_id:%d\r\n", s.process.cmd.Process.Pid)) {
				return s, nil
			}
		}
		select {
		case <-s.process.gone:
			s.stop()
			return nil, fmt.Errorf("it ended: %s", s.output.lines(3))
		case <-time.After(5 * time.Millisecond):
		}
	}
	s.stop()
	return nil, errors.New("it does not answer")
}

func (s *server) stop() {
	s.process.stop()
	_ = os.RemoveAll(s.dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return address.Port, nil
}
