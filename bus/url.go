package bus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// target is the destination of a connection.
type target struct {
	scheme  string
	options redis.UniversalOptions
}

// String returns the URL without credentials.
func (t target) String() string {
	s := t.scheme + "://" + strings.Join(t.options.Addrs, ",")
	if t.options.MasterName != "" {
		s += "/" + t.options.MasterName
	}
	return s
}

// parseURL reads scheme://[user[:password]@]host:port[,host:port…][/path].
// Its errors show no credentials.
func parseURL(raw string) (target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return target{}, errors.New("Redis URL: want redis://, rediss://, redis+cluster:// or redis+sentinel://")
	}
	t := target{scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	if query != "" {
		return target{}, fmt.Errorf("Redis URL: parameters are not supported: %q", parameterNames(query))
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := t.credentials(rest[:at]); err != nil {
			return target{}, err
		}
		rest = rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if err := t.hosts(hosts); err != nil {
		return target{}, err
	}
	return t, t.role(path)
}

func parameterNames(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "?"
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (t *target) credentials(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err, err2 error
	t.options.Username, err = url.PathUnescape(user)
	t.options.Password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		// The library's error would show a part of the password.
		return errors.New("Redis URL: the user or password is not percent-encoded correctly")
	}
	return nil
}

func (t *target) hosts(list string) error {
	port := "6379"
	if t.scheme == "redis+sentinel" {
		port = "26379"
	}
	for host := range strings.SplitSeq(list, ",") {
		if host == "" {
			return errors.New("Redis URL: a host is missing")
		}
		addr := host
		if h, p, err := net.SplitHostPort(host); err == nil {
			if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
				return fmt.Errorf("Redis URL: port %q is not between 1 and 65535", p)
			}
			addr = net.JoinHostPort(h, p)
		} else {
			addr = net.JoinHostPort(strings.Trim(addr, "[]"), port)
		}
		t.options.Addrs = append(t.options.Addrs, addr)
	}
	return nil
}

// role applies the scheme and the path.
func (t *target) role(path string) error {
	switch t.scheme {
	case "redis", "rediss":
		if len(t.options.Addrs) > 1 {
			return fmt.Errorf("Redis URL: %s:// takes one host; use redis+cluster:// or redis+sentinel:// for several", t.scheme)
		}
		if t.scheme == "rediss" {
			host, _, _ := net.SplitHostPort(t.options.Addrs[0]) // hosts has added a port
			t.options.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
		}
		if path != "" {
			db, err := strconv.Atoi(path)
			if err != nil || db < 0 {
				return fmt.Errorf("Redis URL: database %q is not a number", path)
			}
			t.options.DB = db
		}
	case "redis+cluster":
		if path != "" {
			return fmt.Errorf("Redis URL: a cluster has no database %q", path)
		}
		t.options.IsClusterMode = true
	case "redis+sentinel":
		if path == "" {
			return errors.New("Redis URL: the master's name is missing: redis+sentinel://host:port/MASTER")
		}
		t.options.MasterName = path
	default:
		return fmt.Errorf("Redis URL: unknown scheme %q: want redis, rediss, redis+cluster or redis+sentinel", t.scheme)
	}
	return nil
}
