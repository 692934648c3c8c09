// Package redisclients measures internal/resp beside the pipelines of two Redis client
// libraries. It is a module of its own, so that the product does not depend on rueidis.
package redisclients

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/resp"
	"github.com/oskadev/mailroom/testsupport"
)

// request holds the fields of one stream entry, as the gateway writes them for a safe call.
var request = []string{
	"v", "1", "id", "01932c07-a5f2-7cc0-9d2e-7b1a1f3f8a11", "action", "GET_USER", "args", "[1]",
	"reply", "mailroom:{users}:replies:api.q4n7zj2mx6tbw5ra", "deadline", "1790000000000", "meta", `{"request_id":"r1"}`,
}

const mailbox, maxLen = "mailroom:{users}:requests", "1000"

// BenchmarkPipeline sends batches of XADD from one goroutine and reads the IDs of the
// entries. Its CPU time is that of this process, without Redis.
func BenchmarkPipeline(b *testing.B) {
	server := testsupport.StartRedis(b)
	for _, size := range []int{1, 8, 64} {
		for _, client := range []struct {
			name string
			open func(*testing.B, *testsupport.RedisServer) (send func(size int) error)
		}{{"resp", openResp}, {"go-redis", openGoRedis}, {"rueidis", openRueidis}} {
			b.Run(fmt.Sprintf("batch=%d/%s", size, client.name), func(b *testing.B) {
				send := client.open(b, server)
				if err := send(size); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				used := cpu(b)
				sent := 0
				for b.Loop() {
					if err := send(size); err != nil {
						b.Fatal(err)
					}
					sent += size
				}
				b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/float64(sent), "cpu-ns/command")
				b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "commands/s")
			})
		}
	}
}

// cpu returns the CPU time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func openResp(b *testing.B, server *testsupport.RedisServer) func(int) error {
	conn, err := bus.Connect(server.URL(), bus.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	p := conn.NewPipeline()
	b.Cleanup(p.Close)
	return func(size int) error {
		k, err := p.Conn(b.Context(), mailbox)
		if err != nil {
			return err
		}
		for range size {
			k.Out.Begin(6 + len(request) - 1)
			for _, word := range [...]string{"xadd", mailbox, "maxlen", maxLen, "*"} {
				k.Out.Text(word)
			}
			for _, word := range request {
				k.Out.Text(word)
			}
		}
		p.Exchange(b.Context(), time.Second)
		answers, err := k.Answers()
		if err != nil {
			return err
		}
		for _, answer := range answers {
			if _, err := resp.Word(answer); err != nil {
				return err
			}
		}
		return nil
	}
}

func openGoRedis(b *testing.B, server *testsupport.RedisServer) func(int) error {
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(options)
	b.Cleanup(func() { _ = client.Close() })
	return func(size int) error {
		pipeline := client.Pipeline()
		ids := make([]*redis.StringCmd, size)
		for i := range ids {
			ids[i] = pipeline.XAdd(b.Context(), &redis.XAddArgs{Stream: mailbox, MaxLen: 1000, Values: request})
		}
		if _, err := pipeline.Exec(b.Context()); err != nil {
			return err
		}
		for _, id := range ids {
			if id.Err() != nil {
				return id.Err()
			}
		}
		return nil
	}
}

func openRueidis(b *testing.B, server *testsupport.RedisServer) func(int) error {
	options, err := rueidis.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	options.DisableCache, options.ForceSingleClient = true, true
	client, err := rueidis.NewClient(options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return func(size int) error {
		commands := make(rueidis.Commands, size)
		for i := range commands {
			fields := client.B().Xadd().Key(mailbox).Maxlen().Threshold(maxLen).Id("*").FieldValue()
			for at := 0; at < len(request); at += 2 {
				fields = fields.FieldValue(request[at], request[at+1])
			}
			commands[i] = fields.Build()
		}
		for _, result := range client.DoMulti(context.Background(), commands...) {
			if _, err := result.ToString(); err != nil {
				return err
			}
		}
		return nil
	}
}
