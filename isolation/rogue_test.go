package isolation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/testsupport"
)

// rogue is a hostile worker: a Redis client with the rights of its service and no others.
type rogue struct {
	*redis.Client

	s       *stage
	service string
}

func (s *stage) rogue(service string) *rogue {
	return &rogue{Client: s.as(service), s: s, service: service}
}

// evilManifest declares a safe and an unsafe action with routes.
const evilManifest = `{"service":"evil","version":"1","protocol":1,"actions":[` +
	`{"name":"GET","routes":["GET /evil"],"safe":true,"timeout_ms":5000,"args":[]},` +
	`{"name":"POST","routes":["POST /evil"],"safe":false,"timeout_ms":5000,"args":[]}]}`

// registers writes what a worker writes at its start. The worker counts as live for a minute.
func (r *rogue) registers(ctx context.Context, digest, manifest string) {
	r.s.t.Helper()
	keys := r.s.keys
	pipe := r.Pipeline()
	pipe.Set(ctx, keys.Manifest(r.service, digest), manifest, time.Hour)
	pipe.SAdd(ctx, keys.Services(), r.service)
	pipe.ZAdd(ctx, keys.Workers(r.service), r.member(r.service+".rogue "+digest))
	pipe.Publish(ctx, keys.Registry(), r.service)
	_, err := pipe.Exec(ctx)
	require.NoError(r.s.t, err)
}

func (*rogue) member(name string) redis.Z {
	return redis.Z{Score: float64(time.Now().Add(time.Minute).UnixMilli()), Member: name}
}

// asked is a request in the mailbox of a rogue.
type asked struct{ id, entry, channel string }

// line returns a reply line, with further meta such as ",stored=1".
func (q asked) line(meta, envelope string) string {
	return q.id + " entry=" + q.entry + meta + " " + envelope + "\n"
}

// works reads the mailbox until the context ends, and answers each request as it likes.
func (r *rogue) works(ctx context.Context, answer func(r asked)) {
	mailbox := r.s.keys.Requests(r.service)
	if err := r.XGroupCreateMkStream(ctx, mailbox, wire.Group, "0").Err(); err != nil && !strings.Contains(err.Error(), "BUSYGROUP") {
		r.s.t.Errorf("create the group of the mailbox: %v", err)
		return
	}
	for ctx.Err() == nil {
		read, err := r.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: wire.Group, Consumer: r.service + ".rogue", Streams: []string{mailbox, ">"}, Count: 16, Block: 100 * time.Millisecond,
		}).Result()
		if err != nil && !errors.Is(err, redis.Nil) && ctx.Err() == nil {
			r.s.t.Errorf("read the mailbox: %v", err)
			return
		}
		if len(read) == 0 {
			continue
		}
		for _, m := range read[0].Messages {
			answer(asked{id: fmt.Sprint(m.Values["id"]), entry: m.ID, channel: fmt.Sprint(m.Values["reply"])})
			r.XAck(ctx, mailbox, wire.Group, m.ID)
			r.XDel(ctx, mailbox, m.ID)
		}
	}
}

// channel waits for a request of the gateway, and returns the channel for the replies to it.
func (r *rogue) channel(ask func()) string {
	r.s.t.Helper()
	ctx, stop := context.WithCancel(r.s.t.Context())
	defer stop()
	found := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.works(ctx, func(q asked) {
			r.Publish(ctx, q.channel, q.line("", `{"ok":true,"result":1}`))
			found <- q.channel
		})
	}()
	name := ""
	testsupport.Eventually(r.s.t, patience, "the gateway calls the hostile service", func() bool {
		ask()
		select {
		case name = <-found:
		default:
		}
		return name != ""
	})
	stop()
	<-done
	return name
}
