package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/caller"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/busctx"
	"github.com/oskadev/mailroom/internal/call"
	"github.com/oskadev/mailroom/internal/tracing"
	"github.com/oskadev/mailroom/workers"
)

// Error is the failure of a call: the error of the service, or the reason why there is
// no answer.
type Error = workers.Error

// Code names a failure for programs. The constants are in package workers.
type Code = workers.Code

// CodeOf returns the code of an error: that of the first Error in its chain,
// INTERNAL for any other error, and "" for nil.
func CodeOf(err error) Code { return workers.CodeOf(err) }

// Credentials authenticate a process to Redis, beside the user and password of its URL.
type Credentials = bus.Credentials

// Config configures a Client.
type Config struct {
	// Redis is the address of the bus: redis://, rediss:// (TLS),
	// redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1,h2:p2/MASTER. Required.
	Redis string
	// Credentials authenticate the process, beside the URL. Defaults to none.
	Credentials Credentials
	// Namespace is the prefix of all keys. Defaults to "mailroom".
	Namespace string
	// CacheRedis is the address of the cache, in the form of Redis. Defaults to the value
	// of Redis.
	CacheRedis string
	// CacheCredentials authenticate the process to CacheRedis. Defaults to none.
	CacheCredentials Credentials
	// Logger receives messages for operators. Defaults to slog.Default().
	Logger *slog.Logger
}

// Client calls services. It is safe for concurrent use. Close it after the last call.
type Client struct {
	process *call.Process
	close   func()
	options options
}

// New connects to Redis and waits until the client can receive replies, or ctx ends. If
// Redis refuses the process, New returns an error at once.
func New(ctx context.Context, cfg Config) (*Client, error) {
	var opened []func()
	closeAll := func() {
		for i := range opened {
			opened[len(opened)-1-i]()
		}
	}
	connect := func(url string, credentials Credentials, namespace string) (*bus.Conn, error) {
		conn, err := bus.Connect(url, bus.Options{Namespace: namespace, Logger: cfg.Logger, Role: wire.RoleAPI, Credentials: credentials})
		if err == nil {
			opened = append(opened, func() { _ = conn.Close() })
		}
		return conn, err
	}
	conn := busctx.From(ctx)
	var err error
	if conn == nil {
		if conn, err = connect(cfg.Redis, cfg.Credentials, cfg.Namespace); err != nil {
			return nil, err
		}
	}
	cacheConn := conn
	if cfg.CacheRedis != "" {
		if cacheConn, err = connect(cfg.CacheRedis, cfg.CacheCredentials, conn.Keys.Namespace()); err != nil {
			closeAll()
			return nil, fmt.Errorf("the cache: %w", err)
		}
	}
	process, err := call.Open(call.OpenConfig{Conn: conn, CacheConn: cacheConn, Role: wire.RoleAPI, Logger: conn.Log()}) //nolint:contextcheck // it lives until it is closed
	if err != nil {
		closeAll()
		return nil, err
	}
	opened = append(opened, process.Close)
	if err := process.WaitReady(ctx); err != nil {
		closeAll()
		return nil, err
	}
	return &Client{process: process, close: closeAll}, nil
}

// Close closes the client. Calls that still wait fail with UNAVAILABLE.
func (c *Client) Close() { c.close() }

// Call calls an action and returns its result. Arguments are encoded as JSON. Call waits
// for the timeout of the action, or that of the option Timeout, or until ctx ends. The
// error of a failed call is an *Error.
func Call[R any](ctx context.Context, c *Client, service, action string, args ...any) (R, error) {
	var result R
	text, err := c.Do(ctx, service, action, args...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, fmt.Errorf("call %s %s: decode the result: %w", service, action, err)
	}
	return result, nil
}

// Do calls an action like Call, and returns the result as JSON.
func (c *Client) Do(ctx context.Context, service, action string, args ...any) (json.RawMessage, error) {
	request, err := c.request(ctx, service, action, args)
	if err != nil {
		return nil, err
	}
	result, err := c.process.Result(ctx, request)
	return result, publicError(err)
}

// request makes the call of an action with the client's options.
func (c *Client) request(ctx context.Context, service, action string, args []any) (*call.Call, error) {
	text, err := call.EncodeArgs(args)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", service, action, err)
	}
	request := &call.Call{Call: caller.Call{
		Service: service, Action: action, Args: text, Timeout: c.options.timeout,
		Meta: (&wire.Meta{RequestID: c.options.requestID, TraceParent: cmp.Or(c.options.traceParent, tracing.TraceParentIn(ctx))}).Encode(),
	}}
	if c.options.key != "" {
		secret, err := c.process.Secret(ctx)
		if err != nil {
			return nil, fmt.Errorf("call %s %s: the secret of keys is not known: %w", service, action, err)
		}
		request.ID = wire.KeyedID(secret, "client", service, action, c.options.key)
		request.Shared, request.Store = true, keyStore
	}
	return request, nil
}

// keyStore is how long the outcome of an unsafe call with a key is kept.
const keyStore = 24 * time.Hour

// publicError makes an Error of a failure; other errors stay.
func publicError(err error) error {
	failure, ok := errors.AsType[*wire.Error](err)
	if !ok {
		return err
	}
	e := workers.Fail(Code(failure.Code), failure.Status, failure.Message).WithCause(failure.Unwrap())
	e.Details = failure.Details
	return e
}
