package admin

import (
	"slices"

	"github.com/oskadev/mailroom/bus/wire"
)

// The rights of each role are part of the protocol; docs/reference/rights.md describes them.
// Names in patterns consist of letters, digits, dots, underscores and hyphens, which have
// no special meaning in a pattern.

// gatewayRights returns the rights of a gateway, which calls every service. They do not
// include reading a mailbox like a worker, ending a request or changing the data of
// workers. Each key has only the commands that are used on it: an attacker in a gateway
// cannot empty a mailbox or read the data of services.
func gatewayRights(k wire.Keys) []grant {
	read := func(kinds ...string) []string { return patterns(k, "%R~", []string{"*"}, kinds...) }
	return slices.Concat([]grant{
		{commands: append(connectionCommands(), "wait")},
	}, enqueueRights(k, []string{"*"}), lookupRights(k, []string{"*"}, wire.RoleAPI), []grant{
		{keys: patterns(k, "~", []string{"*"}, "requests"), commands: []string{"xdel"}}, // to cancel requests
		// Compositions: gateways are their workers.
		{keys: patterns(k, "~", []string{wire.ReservedService}, "*"), commands: workerCommands()},
		// The known services; older gateways read them by SMEMBERS. `mailroom services` reads
		// the length of the dead letters.
		{keys: []string{"%R~" + k.Services()}, commands: []string{"smembers", "sscan"}},
		{keys: read("dead"), commands: []string{"xlen"}},
		{keys: read("parked"), commands: []string{"hgetall"}},
		// Data of gateways: their secret, the keys and limits of their clients.
		{keys: []string{"~" + k.Secret()}, commands: []string{"setnx", "get"}},
		{keys: []string{"%R~" + k.Namespace() + ":keys"}, commands: []string{"hget"}},
		// The statistics of gateways, for operators.
		{keys: []string{"~" + k.Gateway("*")}, commands: []string{"set", "get", "del"}},
		{keys: []string{"~" + k.Gateways()}, commands: []string{"zadd", "zrem", "zremrangebyscore", "zrangebyscore"}},
		{
			keys:     []string{"~rate:" + k.Namespace() + ":*"},
			commands: []string{"eval", "evalsha", "get", "set", "setex", "incr", "incrby", "expire", "pexpire", "ttl", "pttl", "del"},
		},
		// Replies to cancelled requests.
		{channels: []string{k.Replies("*", "*")}, commands: []string{"publish"}},
	})
}

// consoleRights returns the rights that the console needs beyond those of its gateway.
func consoleRights(k wire.Keys) []grant {
	every := func(rights string, kinds ...string) []string { return patterns(k, rights, []string{"*"}, kinds...) }
	return []grant{
		{keys: every("%R~", "recent", "recent:notable"), commands: []string{"xrevrange"}},
		{keys: every("~", "dead"), commands: []string{"xrange", "xrevrange", "xdel"}},
		{keys: every("~", "requests", "dead", "req:*"), commands: []string{"fcall"}}, // one command names all three
		{keys: every("~", "req:*"), commands: []string{"persist"}},
		{keys: every("~", "paused"), commands: []string{"set", "del"}},
		{keys: []string{"~" + k.APIKeys()}, commands: []string{"hgetall", "hdel"}},
		{keys: append(every("~", "audit"), "~"+k.Audit()), commands: []string{"xadd", "xrevrange"}},
		{channels: []string{k.Registry()}, commands: []string{"publish"}},
	}
}

// enqueueRights returns the rights to call any action of these services: mailboxes,
// records of unsafe requests, lanes, and scripts on them.
func enqueueRights(k wire.Keys, services []string) []grant {
	every := func(kinds ...string) []string { return patterns(k, "~", services, kinds...) }
	return []grant{
		{keys: every("requests"), commands: []string{"xadd", "xlen", "xrange", "xpending", "xinfo|stream", "xinfo|groups"}},
		{keys: every("req:*"), commands: []string{"get", "hget", "hmget", "hstrlen", "strlen", "hset", "hdel", "del", "pexpire"}},
		{keys: every("stored", "stored:*"), commands: []string{"hmget", "hgetall", "hkeys", "hset", "hdel", "hincrby", "pttl", "pexpire"}},
		{keys: every("lane:*"), commands: []string{"rpush", "lpush", "rpop", "lpop", "lset", "lindex", "lrange", "lrem", "exists"}},
		{keys: every("parked"), commands: []string{"hget", "hincrby", "hdel"}},
		{keys: every("requests", "req:*"), commands: []string{"fcall"}},
	}
}

// readRights returns the rights to call safe actions of these services. They do not
// include reading the requests of other callers.
func readRights(k wire.Keys, services []string) []grant {
	return []grant{
		{keys: patterns(k, "~", services, "requests"), commands: []string{"xadd", "xlen", "xinfo|stream", "xinfo|groups"}},
		{keys: patterns(k, "%R~", services, "req:*"), commands: []string{"hmget"}}, // to read a long reply
	}
}

// lookupRights returns the rights that every caller of these services needs: their
// workers, manifests and cache entries, and the caller's own channels.
func lookupRights(k wire.Keys, services []string, role string) []grant {
	read := func(kinds ...string) []string { return patterns(k, "%R~", services, kinds...) }
	return []grant{
		{keys: read("workers"), commands: []string{"zrangebyscore", "zcount"}},
		{keys: read("manifest:*", "paused"), commands: []string{"get", "strlen"}},
		{
			keys:     patterns(k, "~", services, "cached:*", "lease:*", "handed:*", "tag:*"),
			commands: []string{"fcall", "get", "getdel", "mget", "set", "append", "del", "pttl", "pexpire"},
		},
		// One command may name several channels: they need one grant.
		{channels: []string{k.Replies(role+".*", "*"), k.Ping(role + ".*"), k.Registry(), k.Namespace() + ":flights:*"}, commands: []string{"subscribe"}},
		{channels: []string{k.Namespace() + ":dropped:*"}, commands: []string{"psubscribe"}},
		{channels: []string{k.Ping(role + ".*"), k.Namespace() + ":flights:*"}, commands: []string{"publish"}},
	}
}

// callerRights returns the rights of a worker whose handlers call services.
func callerRights(k wire.Keys, access WorkerAccess) []grant {
	called := slices.Concat(access.Calls, access.Reads)
	if len(called) == 0 {
		return nil
	}
	var all []grant
	for _, service := range access.Services {
		all = append(all, lookupRights(k, called, service)...)
	}
	if len(access.Calls) > 0 {
		all = append(all, enqueueRights(k, access.Calls)...)
	}
	if len(access.Reads) > 0 {
		all = append(all, readRights(k, access.Reads)...)
	}
	return all
}

// workerRights returns the rights of a worker of these services: all keys with their
// hash tags, and adding its name to the known services. It publishes on channels that end
// in its service's name and subscribes to those that begin with it.
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

// patterns returns the key patterns of all kinds of keys of the services.
func patterns(k wire.Keys, rights string, services []string, kinds ...string) []string {
	var all []string
	for _, service := range services {
		for _, kind := range kinds {
			all = append(all, rights+k.Tagged(service, kind))
		}
	}
	return all
}

// connectionCommands returns the commands without keys: database, time, memory, replicas,
// cluster slots. AUTH, HELLO and QUIT need no right.
func connectionCommands() []string {
	return []string{"ping", "select", "time", "info|memory", "info|replication", "cluster|slots", "command", "asking", "unsubscribe", "punsubscribe"}
}

// workerCommands returns the commands of a worker on the keys of its service.
func workerCommands() []string {
	return []string{
		"fcall",
		"xgroup|create", "xgroup|delconsumer", "xreadgroup", "xpending", "xclaim", "xack", "xdel",
		"xadd", "xrange", "xlen", "xinfo|stream", "xinfo|groups", "xinfo|consumers",
		"zadd", "zrem", "zremrangebyscore", "zrangebyscore",
		"rpush", "lpush", "rpop", "lpop", "lset", "lindex", "lrange", "lrem", "hincrby",
		"set", "get", "hget", "hmget", "hstrlen", "strlen", "hset", "hdel", "exists", "del", "persist", "pexpire", "pttl",
	}
}

// storeCommands returns the commands for data of the service itself, under its hash
// tag: strings, hashes, lists, sets, sorted sets and transactions.
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
