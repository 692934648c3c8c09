package mutants

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/resp"
	"github.com/oskadev/mailroom/internal/conformance/trace"
	"github.com/oskadev/mailroom/internal/conformance/worker"
	"github.com/oskadev/mailroom/internal/script"
	"github.com/oskadev/mailroom/internal/token"
)

const mutantSlots = 8

// mutantConn is a connection to Redis that is opened again after an error.
type mutantConn struct {
	w *nativeMutant

	mu   sync.Mutex
	conn *resp.Client
}

// do sends a command. A refusal of Redis ends the process.
func (c *mutantConn) do(words ...string) (resp.Value, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		if err := c.open(); err != nil {
			return resp.Value{}, err
		}
	}
	v, err := c.conn.Do(words...)
	if err != nil && !v.IsError() {
		c.conn.Close()
		c.conn = nil
		if c.w.is("no-reconnect") {
			os.Exit(1)
		}
	}
	if v.IsError() {
		c.w.refused(v.Text)
	}
	return v, err
}

func (c *mutantConn) open() error {
	conn, err := resp.Dial(c.w.address)
	if err != nil {
		return err
	}
	if c.w.user != nil {
		password, _ := c.w.user.Password()
		if v, err := conn.Do("AUTH", c.w.user.Username(), password); err != nil {
			conn.Close()
			c.w.refused(v.Text)
			return err
		}
	}
	c.conn = conn
	return nil
}

// script runs a script: FCALL, then EVALSHA, then EVAL.
func (c *mutantConn) script(name string, keys int, words ...string) (resp.Value, error) {
	source := trace.Scripts()[name]
	if c.w.is("loads-scripts") {
		_, _ = c.do("SCRIPT", "LOAD", source)
	}
	if c.w.is("changes-scripts") {
		source += "\n"
	}
	if !c.w.is("never-evals") {
		v, err := c.do(append([]string{"FCALL", script.FunctionName(name, trace.Digest(source)), strconv.Itoa(keys)}, words...)...)
		if err == nil || !strings.Contains(v.Text, "Function not found") {
			return v, err
		}
	}
	v, err := c.do(append([]string{"EVALSHA", trace.Digest(source), strconv.Itoa(keys)}, words...)...)
	if err != nil && strings.HasPrefix(v.Text, "NOSCRIPT") && !c.w.is("never-evals") {
		v, err = c.do(append([]string{"EVAL", source, strconv.Itoa(keys)}, words...)...)
	}
	return v, err
}

// nativeMutant is a worker that speaks the protocol in Redis.
type nativeMutant struct {
	*mutantService

	address, id, mailbox, prefix, ns string
	text, digest                     string // of the manifest
	user                             *url.Userinfo
	idle                             time.Duration
	reading, control, settling       *mutantConn
	announced                        bool // only the heartbeat uses it

	mu       sync.Mutex
	running  map[string]*mutantDelivery
	offset   time.Duration // of the time of Redis
	since    time.Time     // no keep-alive has been late since then
	kept     time.Time     // the latest answer to a keep-alive
	draining bool

	handlers sync.WaitGroup
	serial   sync.Mutex
}

func runNativeMutant(bug string) int {
	w := &nativeMutant{mutantService: newMutantService(bug), idle: worker.DefaultIdleLimit, running: make(map[string]*mutantDelivery)}
	target, err := url.Parse(os.Getenv("MAILROOM_REDIS_URL"))
	if err != nil {
		return 1
	}
	w.address, w.user, w.ns = target.Host, target.User, os.Getenv("MAILROOM_NAMESPACE")
	if w.is("ignores-namespace") {
		w.ns = "mailroom"
	}
	if limit, err := time.ParseDuration(os.Getenv("MAILROOM_IDLE_LIMIT")); err == nil {
		w.idle = limit
	}
	w.id = w.service() + "." + token.New(token.NameBytes)
	w.prefix = w.ns + ":{" + w.service() + "}:"
	w.mailbox = w.prefix + "requests"
	text, _ := json.Marshal(w.manifest())
	w.text, w.digest = string(text), fmt.Sprintf("%x", sha256.Sum256(text))
	w.reading, w.control, w.settling = &mutantConn{w: w}, &mutantConn{w: w}, &mutantConn{w: w}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	w.since, w.kept = time.Now(), time.Now()
	w.createGroup()
	w.beat()
	go w.every(w.beatEvery(), w.beat)
	go w.every(w.keepEvery(), w.keep)
	read := make(chan struct{})
	go func() {
		defer close(read)
		w.read()
	}()
	<-signals
	return w.signOff(read)
}

func (w *nativeMutant) signOff(read <-chan struct{}) int {
	if w.is("ends-at-sigterm") {
		return 0
	}
	w.mu.Lock()
	w.draining = !w.is("reads-while-draining")
	w.mu.Unlock()
	if !w.is("reads-while-draining") {
		<-read
	}
	if !w.is("stays-in-list") {
		_, _ = w.control.do("ZREM", w.prefix+"workers", w.id+" "+w.digest)
		_, _ = w.control.do("PUBLISH", w.ns+":registry", w.service())
	}
	if w.is("retires-first") {
		w.retire()
	}
	w.handlers.Wait()
	if !w.is("retires-first", "never-retires") {
		w.retire()
	}
	return 0
}

func (w *nativeMutant) retire() {
	if w.is("deletes-consumer") {
		_, _ = w.control.do("XGROUP", "DELCONSUMER", w.mailbox, "workers", w.id)
		return
	}
	_, _ = w.control.script("retire", 1, w.mailbox, "0", w.id)
}

func (w *nativeMutant) every(d time.Duration, f func()) {
	for range time.Tick(d) {
		f()
	}
}

func (w *nativeMutant) beatEvery() time.Duration {
	if w.is("slow-heartbeat") {
		return 2500 * time.Millisecond
	}
	return time.Second
}

func (w *nativeMutant) keepEvery() time.Duration {
	if w.is("rare-keeps") {
		return w.idle * 9 / 10
	}
	return w.idle / 3
}

// refused ends the process where Redis refuses it.
func (w *nativeMutant) refused(text string) {
	for _, prefix := range []string{"NOPERM", "WRONGPASS", "NOAUTH"} {
		if strings.HasPrefix(text, prefix) && !w.is("ignores-refusals") {
			os.Exit(1)
		}
	}
}

func (w *nativeMutant) createGroup() {
	at := "0"
	if w.is("group-at-end") {
		at = "$"
	}
	_, _ = w.reading.do("XGROUP", "CREATE", w.mailbox, "workers", at, "MKSTREAM")
}

// now returns the time of Redis in ms.
func (w *nativeMutant) now() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.offset).UnixMilli()
}

// beat sends one heartbeat.
func (w *nativeMutant) beat() {
	if v, err := w.control.do("TIME"); err == nil && !w.is("own-clock") {
		w.mu.Lock()
		w.offset = time.Until(time.UnixMicro(numberIn(v.Items[0].Text)*1e6 + numberIn(v.Items[1].Text)))
		w.mu.Unlock()
	}
	w.mu.Lock()
	draining := w.draining
	w.mu.Unlock()
	if draining && !w.is("beats-after-leaving") {
		return
	}
	until := strconv.FormatInt(w.now()+3000, 10)
	if !w.announced {
		w.announce()
	}
	v, err := w.control.do("ZADD", w.prefix+"workers", until, w.id+" "+w.digest)
	if err != nil || v.Text != "1" || w.announced && w.is("announces-once") {
		return
	}
	w.announce()
	w.announced = true
	if !w.is("no-hint") {
		_, _ = w.control.do("PUBLISH", w.ns+":registry", w.service())
	}
}

func (w *nativeMutant) announce() {
	_, _ = w.control.do("SET", w.prefix+"manifest:"+w.digest, w.text, "EX", "86400")
	_, _ = w.control.do("SADD", w.ns+":services", w.service())
}

// keep keeps the running requests.
func (w *nativeMutant) keep() {
	words := []string{w.mailbox, w.id}
	w.mu.Lock()
	for entry, d := range w.running {
		if !d.left {
			words = append(words, entry)
		}
	}
	w.mu.Unlock()
	if w.is("no-keeps") {
		words = words[:2]
	}
	v, err := w.control.script("keep", 1, words...)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.kept) > w.idle*6/10 && !w.is("claims-after-outages", "rare-keeps") {
		w.since = now
	}
	w.kept = now
	for _, entry := range v.Words() {
		if d := w.running[entry]; d != nil && !w.is("ignores-loss") {
			d.lose()
		}
	}
}

// read reads the mailbox until the worker drains.
func (w *nativeMutant) read() {
	recover, claimed := false, time.Now()
	for {
		w.mu.Lock()
		free, draining := mutantSlots-len(w.running), w.draining
		w.mu.Unlock()
		if w.is("ignores-slots") {
			free = mutantSlots
		}
		switch {
		case draining:
			return
		case free <= 0:
			<-time.After(2 * time.Millisecond)
			continue
		case recover && !w.is("no-recovery"):
			recover = w.recoverOwn() != nil
		case time.Since(claimed) > min(w.idle/3, time.Second):
			claimed = time.Now()
			w.claim(free)
			continue
		}
		v, err := w.reading.do("XREADGROUP", "GROUP", "workers", w.id, "COUNT", strconv.Itoa(free), "BLOCK", "300", "STREAMS", w.mailbox, ">")
		switch {
		case strings.HasPrefix(v.Text, "NOGROUP"), strings.HasPrefix(v.Text, "UNBLOCKED"):
			w.createGroup()
		case err != nil:
			recover = true
			<-time.After(50 * time.Millisecond)
		case len(v.Items) > 0:
			w.deliver(v.Items[0].Items[1], nil)
		}
	}
}

// recoverOwn starts requests of reads that had no answer.
func (w *nativeMutant) recoverOwn() error {
	pending, err := w.reading.do("XPENDING", w.mailbox, "workers", "-", "+", "100", w.id)
	if err != nil {
		return err
	}
	for _, row := range pending.Items {
		entry := row.Items[0].Text
		w.mu.Lock()
		_, known := w.running[entry]
		w.mu.Unlock()
		if known && !w.is("recovers-running") || numberIn(row.Items[3].Text) > 1 {
			continue
		}
		found, err := w.reading.do("XRANGE", w.mailbox, entry, entry)
		if err != nil {
			return err
		}
		w.deliver(found, map[string]int{entry: int(numberIn(row.Items[3].Text))})
	}
	return nil
}
