package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/resp"
)

// ErrNoRedis tells what to install.
var ErrNoRedis = errors.New("redis-server is not in PATH: install Redis 7.0 or newer, such as: apt-get install redis-server")

// Server is a redis-server process.
type Server struct {
	process *Process
	dir     string
	Address string
	output  Tail
}

// StartServer starts a redis-server on a free port and waits until it answers.
func StartServer() (*Server, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	for range 5 { // another process may take the port
		var s *Server
		if s, err = tryServer(binary); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("start redis-server: %w", err)
}

func tryServer(binary string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if s.dir, err = os.MkdirTemp("", "mailroom-conformance-"); err != nil {
		return nil, err
	}
	s.process, err = Start([]string{
		binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
	}, os.Environ(), &s.output)
	if err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); {
		c, err := resp.Dial(s.Address)
		if err == nil {
			info, err := c.Do("INFO", "server")
			c.Close()
			if err == nil && strings.Contains(info.Text, fmt.Sprintf("process_id:%d\r\n", s.process.Pid())) {
				return s, nil
			}
		}
		select {
		case <-s.process.Gone:
			s.Stop()
			return nil, fmt.Errorf("it ended: %s", s.output.Lines(3))
		case <-time.After(5 * time.Millisecond):
		}
	}
	s.Stop()
	return nil, errors.New("it does not answer")
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() {
	s.process.Stop()
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
