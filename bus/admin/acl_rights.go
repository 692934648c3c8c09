package admin

import (
	"slices"

	"github.com/oskadev/mailroom/bus/wire"
)

// What each role may do is part of the protocol; docs/reference/rights.md tells it to
// people. Every name in a pattern is made of letters, digits, dots, underscores
// and hyphens: none of them means anything else in a pattern.

// gatewayRights: a gateway asks every service. Nothing here lets it read a
// mailbox as a worker would, end a request, or change what workers say of
// themselves, and no key has a command that is not used on it: whoever took a
// gateway over could not empty a mailbox, nor read what services store.
func gatewayRights(k wire.Keys) []grant {
	read := func(kinds ...string) []string { return patterns(k, "%R~", []string{"*"}, kinds...) }
	return slices.Concat([]grant{
		{commands: append(connectionCommands(), "wait")},
	}, enqueueRights(k, []string{"*"}), lookupRights(k, []string{"*"}, wire.RoleAPI), []grant{
		{keys: patterns(k, "~", []string{"*"}, "requests"), commands: []string{"xdel"}}, // it cancels
		// Compositions: gateways are their workers.
		{keys: patterns(k, "~", []string{wire.ReservedService}, "*"), commands: workerCommands()},
		// Who is there. The length of the dead letters is for `mailroom services`.
		{keys: []string{"%R~" + k.Services()}, commands: []string{"smembers"}},
		{keys: read("dead"), commands: []string{"xlen"}},
		{keys: read("parked"), commands: []string{"hgetall"}},
		// What gateways alone know: their secret, their clients' keys and limits.
		{keys: []string{"~" + k.Secret()}, commands: []string{"setnx", "get"}},
		{keys: []string{"%R~" + k.Namespace() + ":keys"}, commands: []string{"hget"}},
		{
			keys:     []string{"~rate:" + k.Namespace() + ":*"},
			commands: []string{"eval", "evalsha", "get", "set", "setex", "incr", "incrby", "expire", "pexpire", "ttl", "pttl", "del"},
		},
		// It publishes replies too, of requests that were cancelled.
		{channels: []string{k.Replies("*", "*")}, commands: []string{"publish"}},
	})
}

// enqueueRights: asking these services for any action. It takes their mailboxes, the
// records of unsafe requests, lanes, and scripts on them.
func enqueueRights(k wire.Keys, services []string) []grant {
	every := func(kinds ...string) []string { return patterns(k, "~", services, kinds...) }
	return []grant{
		{keys: every("requests"), commands: []string{"xadd", "xlen", "xrange", "xpending", "xinfo|stream", "xinfo|groups"}},
		{keys: every("req:*"), commands: []string{"hget", "hmget", "hset", "hdel", "del", "pexpire"}},
		{keys: every("lane:*"), commands: []string{"rpush", "lpush", "rpop", "lpop", "lset", "lindex", "lrange", "lrem", "exists"}},
		{keys: every("parked"), commands: []string{"hget", "hincrby", "hdel"}},
		{keys: every("requests", "req:*"), commands: []string{"eval", "evalsha"}},
	}
}

// readRights: asking these services for safe actions alone. What others ask of them
// it cannot see.
func readRights(k wire.Keys, services []string) []grant {
	return []grant{
		{keys: patterns(k, "~", services, "requests"), commands: []string{"xadd", "xlen", "xinfo|stream", "xinfo|groups"}},
		{keys: patterns(k, "%R~", services, "req:*"), commands: []string{"hmget"}}, // a long answer
	}
}

// lookupRights: what anybody needs who asks these services, beside asking: who works
// for them, what they declare, what of them is cached, and to hear itself.
func lookupRights(k wire.Keys, services []string, role string) []grant {
	read := func(kinds ...string) []string { return patterns(k, "%R~", services, kinds...) }
	return []grant{
		{keys: read("workers"), commands: []string{"zrangebyscore"}},
		{keys: read("manifest:*"), commands: []string{"get"}},
		{
			keys:     patterns(k, "~", services, "cached:*", "lease:*", "handed:*", "tag:*"),
			commands: []string{"eval", "evalsha", "get", "getdel", "mget", "set", "append", "del", "pttl", "pexpire"},
		},
		// One command may name several: they are in one grant.
		{channels: []string{k.Replies(role+".*", "*"), k.Ping(role + ".*"), k.Registry(), k.Namespace() + ":flights:*"}, commands: []string{"subscribe"}},
		{channels: []string{k.Namespace() + ":dropped:*"}, commands: []string{"psubscribe"}},
		{channels: []string{k.Ping(role + ".*"), k.Namespace() + ":flights:*"}, commands: []string{"publish"}},
	}
}

// askingRights: what a worker needs whose handlers ask.
func askingRights(k wire.Keys, access WorkerAccess) []grant {
	asked := slices.Concat(access.Calls, access.Reads)
	if len(asked) == 0 {
		return nil
	}
	var all []grant
	for _, service := range access.Services {
		all = append(all, lookupRights(k, asked, service)...)
	}
	if len(access.Calls) > 0 {
		all = append(all, enqueueRights(k, access.Calls)...)
	}
	if len(access.Reads) > 0 {
		all = append(all, readRights(k, access.Reads)...)
	}
	return all
}

// workerRights: a service has all keys that carry its hash tag, and of the
// others can only say that it is there. It answers on channels that end in its
// own name, and hears those that begin with it.
func workerRights(k wire.Keys, services []string) []grant {
	commands := slices.Concat(connectionCommands(), workerCommands(), storeCommands())
	slices.Sort(commands)
	out, in := []string{k.Registry()}, []string(nil)
	for _, service := range services {
		out = append(out, k.Replies("*", service), k.Namespace()+":dropped:{"+service+"}")
		in = append(in, k.Replies(service+".*", "*"))
	}
	return []grant{
		{keys: patterns(k, "~", services, "*"), commands: slices.Compact(commands)},
		{keys: []string{"%W~" + k.Services()}, commands: []string{"sadd"}},
		{channels: out, commands: []string{"publish"}},
		{channels: in, commands: []string{"subscribe"}},
	}
}

// patterns of kinds of keys, of all these services.
func patterns(k wire.Keys, rights string, services []string, kinds ...string) []string {
	var all []string
	for _, service := range services {
		for _, kind := range kinds {
			all = append(all, rights+k.Tagged(service, kind))
		}
	}
	return all
}

// connectionCommands touch no key: they choose a database, tell the time, how
// full the memory is, and where a cluster keeps what. AUTH, HELLO and QUIT are
// everybody's.
func connectionCommands() []string {
	return []string{"ping", "select", "time", "info|memory", "cluster|slots", "command", "asking", "unsubscribe", "punsubscribe"}
}

// workerCommands are what a worker needs on the keys of its service.
func workerCommands() []string {
	return []string{
		"eval", "evalsha",
		"xgroup|create", "xgroup|delconsumer", "xreadgroup", "xpending", "xclaim", "xack", "xdel",
		"xadd", "xrange", "xlen", "xinfo|stream", "xinfo|groups", "xinfo|consumers",
		"zadd", "zrem", "zremrangebyscore", "zrangebyscore",
		"rpush", "lpush", "rpop", "lpop", "lset", "lindex", "lrange", "lrem", "hincrby",
		"set", "get", "hget", "hmget", "hset", "hdel", "exists", "del", "persist", "pexpire",
	}
}

// storeCommands are what the author of a service may use for a store of the
// service's own, below its hash tag: strings, hashes, lists, sets, sorted sets,
// and transactions.
func storeCommands() []string {
	return []string{
		"get", "set", "setnx", "setex", "psetex", "getset", "getdel", "getex", "mget", "mset", "append", "strlen", "getrange", "setrange",
		"incr", "incrby", "incrbyfloat", "decr", "decrby", "getbit", "setbit", "bitcount",
		"hget", "hmget", "hgetall", "hset", "hsetnx", "hmset", "hdel", "hexists", "hincrby", "hincrbyfloat", "hkeys", "hvals", "hlen", "hscan",
		"lpush", "rpush", "lpop", "rpop", "llen", "lrange", "lindex", "lset", "lrem", "ltrim", "linsert", "lmove", "lpos", "blpop", "brpop", "blmove",
		"sadd", "srem", "smembers", "sismember", "smismember", "scard", "spop", "srandmember", "smove", "sscan", "sinter", "sunion", "sdiff",
		"zadd", "zrem", "zscore", "zmscore", "zincrby", "zcard", "zcount", "zrank", "zrevrank", "zrange", "zrevrange", "zrangebyscore",
		"zrevrangebyscore", "zrangebylex", "zremrangebyscore", "zremrangebyrank", "zpopmin", "zpopmax", "zscan", "zlexcount",
		"pfadd", "pfcount",
		"del", "unlink", "exists", "type", "copy", "rename", "renamenx", "touch",
		"expire", "pexpire", "expireat", "pexpireat", "expiretime", "pexpiretime", "ttl", "pttl", "persist",
		"multi", "exec", "discard", "watch", "unwatch",
	}
}
