package resp

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// doLimit is the time in which Redis has to answer.
const doLimit = 10 * time.Second

// Client is a connection to Redis that bypasses the proxy.
type Client struct {
	mu   sync.Mutex
	conn net.Conn
	in   *Reader
}

// Dial opens a connection to Redis at an address.
func Dial(address string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // it has a limit
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, in: NewReader(conn)}, nil
}

// Do sends a command and returns the answer. An error answer is an error.
func (c *Client) Do(words ...string) (Value, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetDeadline(time.Now().Add(doLimit))
	if _, err := c.conn.Write(AppendCommand(nil, words...)); err != nil {
		return Value{}, err
	}
	v, err := c.in.Answer()
	if err == nil && v.IsError() {
		err = errors.New(v.Text)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", words[0], err)
	}
	return v, nil
}

// Subscribe passes on the messages of a channel until the connection ends.
func (c *Client) Subscribe(channel string, message func(string)) error {
	if _, err := c.Do("SUBSCRIBE", channel); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Time{})
	go func() {
		for {
			v, err := c.in.Answer()
			if err != nil {
				return
			}
			if len(v.Items) == 3 && v.Items[0].Text == "message" {
				message(v.Items[2].Text)
			}
		}
	}()
	return nil
}

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }
