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

// awaitRedis returns when the server at addr answers and is the process p, since on a port that was taken in between
// somebody else's server would answer as readily.
func awaitRedis(p *process, addr string) error {
	client := newProbe(addr, time.Second)
	defer func() { _ = client.Close() }() // nothing depends on it any more
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
	// A bare connection first: until there is a listener, the client would print each failure to standard error.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	_ = conn.Close() // it carried nothing
	info, err := client.Info(ctx, "server").Result()
	if refused(err) {
		return nil // it runs and guards itself with a password or an ACL file that the test chose
	}
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid)) {
		return errors.New("another server answers there")
	}
	// INFO is answered while the data is still being loaded, PING only afterwards.
	return client.Ping(ctx).Err()
}

func refused(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOAUTH") || strings.HasPrefix(err.Error(), "NOPERM"))
}

// newProbe returns a client that reports a failure as it is instead of trying again.
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
