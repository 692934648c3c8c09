package conformance

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// doLimit is the time in which Redis has to answer.
const doLimit = 10 * time.Second

// client is a connection to Redis that bypasses the proxy.
type client struct {
	mu   sync.Mutex
	conn net.Conn
	in   *respReader
}

func dial(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // it has a limit
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: newRespReader(conn)}, nil
}

// do sends a command and returns the answer. An error answer is an error.
func (c *client) do(words ...string) (value, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetDeadline(time.Now().Add(doLimit))
	if _, err := c.conn.Write(appendCommand(nil, words...)); err != nil {
		return value{}, err
	}
	v, err := c.in.answer()
	if err == nil && v.isError() {
		err = errors.New(v.text)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", words[0], err)
	}
	return v, nil
}

// subscribe passes on the messages of a channel until the connection ends.
func (c *client) subscribe(channel string, message func(string)) error {
	if _, err := c.do("SUBSCRIBE", channel); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Time{})
	go func() {
		for {
			v, err := c.in.answer()
			if err != nil {
				return
			}
			if len(v.items) == 3 && v.items[0].text == "message" {
				message(v.items[2].text)
			}
		}
	}()
	return nil
}

func (c *client) close() { _ = c.conn.Close() }
