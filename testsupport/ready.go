package testsupport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// awaitRedis waits until the server at addr answers. The server must be the process p: another one may have taken the port.
func awaitRedis(p *process, addr string) error {
	client := newProbe(addr, time.Second)
	defer func() { _ = client.Close() }() // an error changes nothing
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := isReady(ctx, client, addr, p.pid())
		if err == nil {
			return nil
		}
		select {
		case <-p.gone:
			return fmt.Errorf("redis-server for %s ended at once: %s", addr, p.output())
		case <-ctx.Done():
			return fmt.Errorf("redis-server on %s not ready within %s: %w; it printed: %s", addr, startWait, err, p.output())
		case <-tick.C:
		}
	}
}

func isReady(ctx context.Context, client *redis.Client, addr string, pid int) error {
	// Connect without the client first, which prints each failed connection to standard error.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	_ = conn.Close() // nothing was sent
	info, err := client.Info(ctx, "server").Result()
	if refused(err) {
		return nil // it runs, with a password or an ACL file of the test
	}
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return errors.New("another server answers there")
	}
	// Redis answers INFO while it loads its data, and PING only afterwards.
	return client.Ping(ctx).Err()
}

func refused(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOAUTH") || strings.HasPrefix(err.Error(), "NOPERM"))
}

// newProbe returns a client that does not retry.
func newProbe(addr string, timeout time.Duration) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     addr,
		MaxRetries:               -1,
		DialerRetries:            1,
		DialTimeout:              timeout,
		ReadTimeout:              timeout,
		PoolSize:                 1,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
