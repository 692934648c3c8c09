package resp

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// speech is a connection that only reads.
type speech struct {
	net.Conn
	io.Reader
}

func (s speech) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (speech) SetReadDeadline(t time.Time) error { return nil }
func (speech) Close() error                      { return nil }

// chunks returns at most as many bytes at once as a socket does.
type chunks struct{ io.Reader }

func (c chunks) Read(p []byte) (int, error) { return c.Reader.Read(p[:min(len(p), 64<<10)]) }

func TestAnswersAreCutWhereTheyEnd(t *testing.T) {
	t.Parallel()
	answers := []string{
		"+OK\r\n", ":17\r\n", "-ERR no\r\n", "$-1\r\n", "*-1\r\n", "$0\r\n\r\n", "$7\r\na\r\nb\n*c\r\n", "*0\r\n",
		"*2\r\n*2\r\n$1\r\na\r\n*0\r\n*1\r\n:5\r\n", "$20000\r\n" + strings.Repeat("x", 20000) + "\r\n",
	}
	for _, slow := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	} {
		l := &Conn{conn: speech{Reader: slow(strings.NewReader(strings.Join(answers, "") + strings.Join(answers, "")))}}
		got, err := l.Receive(3, time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers[:3], got)
		got, err = l.Receive(len(answers)-3, time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers[3:], got)
		got, err = l.Receive(len(answers), time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers, got)
		_, err = l.Receive(1, time.Second)
		require.ErrorIs(t, err, io.EOF)
		assert.Nil(t, l.conn, "what comes next is not known")
	}
}

// Any bytes are either cut into answers, which are read the same way, or refused.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "*2\r\n:1\r\n$1\r\na\r\n", "$-1\r\n", "*1\r\n*1\r\n*1\r\n$3\r\nabc\r\n", "$9999999999\r\n", "$9223372036854775807\r\n", "*-2\r\n", "\r\n", "$1\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		l := &Conn{conn: speech{Reader: bytes.NewReader(text)}}
		rest := string(text)
		for {
			answers, err := l.Receive(1, time.Second)
			if err != nil {
				return
			}
			after, found := strings.CutPrefix(rest, answers[0])
			require.True(t, found, "it is what came next")
			rest = after
			_, _ = Words(answers[0])
			_, _ = Word(answers[0])
			_ = StreamEntries(answers[0], func(Entry) {})
		}
	})
}

func TestCommandsAreWrittenAsRedisReadsThem(t *testing.T) {
	t.Parallel()
	var c Commands
	c.Add("set", "k", "ä\r\n")
	c.Begin(4)
	c.Text("x")
	c.Number(-12)
	c.Millis(0)
	c.Raw([]byte{0, 255})
	assert.Equal(t, 2, c.Len())
	assert.Equal(t, "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$4\r\nä\r\n\r\n", string(c.at(0)))
	assert.Equal(t, "*4\r\n$1\r\nx\r\n$3\r\n-12\r\n$0\r\n\r\n$2\r\n\x00\xff\r\n", string(c.at(1)))
	again := Commands{}
	again.Copy(c.at(0))
	assert.Equal(t, c.at(0), again.at(0))
	c.Reset()
	assert.Zero(t, c.Len())
	assert.Empty(t, c.buf)
}

// echoOf sends ECHO and checks the answer.
func echoOf(t *testing.T, p *Pipeline, word string) error {
	t.Helper()
	k, err := p.Conn(t.Context(), "k")
	if err != nil {
		return err
	}
	k.Out.Add("echo", word)
	p.Exchange(t.Context(), time.Second)
	if k.err != nil {
		return k.err
	}
	got, err := Word(k.answers[0])
	require.NoError(t, err)
	assert.Equal(t, word, got)
	return nil
}

func newTestPipeline(t *testing.T, url string) *Pipeline {
	t.Helper()
	opts, err := redis.ParseURL(url)
	require.NoError(t, err)
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = time.Second, time.Second, time.Second
	opts.MaxRetries, opts.DialerRetries, opts.Protocol, opts.DisableIdentity = -1, 1, 2, true
	rdb := redis.NewClient(opts)
	p := NewPipeline(Options{
		Client: rdb, Open: func() *redis.Client { return redis.NewClient(opts) },
		Explain: func(err error, _ ...any) error { return err }, Timeout: time.Second,
	})
	t.Cleanup(func() {
		p.Close()
		assert.NoError(t, rdb.Close())
	})
	return p
}

// A connection that was closed while unused fails no command.
func TestClosedConnectionIsNoticedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	server.Do("ACL", "SETUSER", "me", "on", ">pw", "+echo", "+select", "+ping")
	p := newTestPipeline(t, strings.Replace(server.URL(), "://", "://me:pw@", 1)+"/3")
	require.NoError(t, echoOf(t, p, "before"))
	before := p.conns[""].conn
	assert.False(t, p.conns[""].closed())
	server.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	testsupport.Eventually(t, 5*time.Second, "it is seen", func() bool { return isClosed(before) })
	p.conns[""].used = time.Now().Add(-time.Second)
	require.NoError(t, echoOf(t, p, "behind"))
	assert.NotEqual(t, before, p.conns[""].conn)
}

// The deadlines of an idle connection may pass; it stays open.
func TestIdleConnectionStays(t *testing.T) {
	t.Parallel()
	p := newTestPipeline(t, testsupport.StartRedis(t).URL())
	k, err := p.Conn(t.Context(), "k")
	require.NoError(t, err)
	const patience = 50 * time.Millisecond
	_, err = k.Do(patience, func(out *Commands) { out.Add("echo", "a") })
	require.NoError(t, err)
	before, end := k.conn, time.Now().Add(2*patience)
	testsupport.Eventually(t, 5*time.Second, "its deadlines have passed", func() bool { return time.Now().After(end) })
	require.NoError(t, echoOf(t, p, "behind"))
	assert.Equal(t, before, k.conn)
}

// The server behind an address may have become a replica.
func TestConnectionToAReplicaIsReplaced(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	p := newTestPipeline(t, server.URL())
	require.NoError(t, echoOf(t, p, "before"))
	k := p.conns[""]
	before := k.conn
	server.Do("REPLICAOF", "127.0.0.1", testsupport.FreePort(t))
	answer, err := k.Do(time.Second, func(out *Commands) { out.Add("set", "k", "v") })
	require.NoError(t, err)
	assert.Contains(t, answer, "-READONLY")
	server.Do("REPLICAOF", "NO", "ONE")
	require.NoError(t, echoOf(t, p, "behind"))
	assert.NotEqual(t, before, k.conn)
}

// The connection is lost between two services of one batch.
func TestLostConnectionReportsNothingSent(t *testing.T) {
	t.Parallel()
	p := newTestPipeline(t, testsupport.Miniredis(t))
	k, err := p.Conn(t.Context(), "k")
	require.NoError(t, err)
	k.Out.Add("echo", "a")
	k.Drop()
	p.Exchange(t.Context(), time.Second)
	require.ErrorIs(t, k.err, ErrNotConnected)
	require.NoError(t, echoOf(t, p, "behind"), "and nothing of it is left")
}

func TestLongAnswerDoesNotKeepItsBuffer(t *testing.T) {
	t.Parallel()
	const long, short = 2 << 20, 200
	text := func(n int) string { return "$" + strconv.Itoa(n) + "\r\n" + strings.Repeat("x", n) + "\r\n" }
	l := &Conn{conn: speech{Reader: chunks{strings.NewReader(text(long) + strings.Repeat(text(short), 40_000))}}}
	_, err := l.Receive(1, time.Second)
	require.NoError(t, err)
	for range 39_000 { // there is alp more behind it
		_, err := l.Receive(1, time.Second)
		require.NoError(t, err)
	}
	assert.Less(t, cap(l.in), 2*maxKept)
}

func TestExchangeTimesOut(t *testing.T) {
	t.Parallel()
	server := testsupport.StartRedis(t)
	proxy := testsupport.StartProxy(t, server.Addr())
	p := newTestPipeline(t, proxy.URL())
	require.NoError(t, echoOf(t, p, "before"))
	proxy.BlackholeReplies(true)
	began := time.Now()
	var timeout net.Error
	require.ErrorAs(t, echoOf(t, p, "lost"), &timeout)
	assert.True(t, timeout.Timeout())
	assert.Less(t, time.Since(began), 3*time.Second)
	proxy.BlackholeReplies(false)
	require.NoError(t, echoOf(t, p, "behind"), "on a connection of which the lost answer is not expected")
}

func TestNothingIsSentWhereNobodyListens(t *testing.T) {
	t.Parallel()
	p := newTestPipeline(t, "redis://127.0.0.1:"+strconv.Itoa(testsupport.FreePort(t)))
	err := echoOf(t, p, "nobody")
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
}

func TestStringsOverTheLimitAreThrownAway(t *testing.T) {
	t.Parallel()
	long := "$1000\r\n" + strings.Repeat("x", 1000) + "\r\n"
	answers := []string{"*3\r\n$1\r\na\r\n" + long + "$1\r\nb\r\n", "+OK\r\n", long, "$10\r\n0123456789\r\n"}
	want := []string{"*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n", "+OK\r\n", "$-1\r\n", "$10\r\n0123456789\r\n"}
	for _, slow := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	} {
		l := &Conn{Limits: Limits{String: 10}, conn: speech{Reader: slow(strings.NewReader(strings.Join(answers, "")))}}
		got, err := l.Receive(len(answers), time.Second)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, 2, l.Dropped())
	}
}

// A string that is thrown away must not be held in memory.
func TestThrowingAwayNeedsNoMemory(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	text := io.MultiReader(strings.NewReader("$"+strconv.Itoa(size)+"\r\n"), io.LimitReader(zeros{}, size), strings.NewReader("\r\n+OK\r\n"))
	l := &Conn{Limits: Limits{String: 1 << 20}, conn: speech{Reader: chunks{text}}}
	got, err := l.Receive(2, time.Second)
	require.NoError(t, err)
	assert.Equal(t, []string{"$-1\r\n", "+OK\r\n"}, got)
	assert.Less(t, cap(l.in), 1<<20)
}

// zeros reads as zeros without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAnswersOverTheLimitEndTheConnection(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"$1000\r\n", // refused by its head
		"*2\r\n$40\r\n" + strings.Repeat("x", 40) + "\r\n$40\r\n",
		"*1000\r\n",
		"*90\r\n" + strings.Repeat(":1\r\n", 90),
		"+" + strings.Repeat("x", 1000),
	} {
		l := &Conn{Limits: Limits{Answer: 80}, conn: speech{Reader: strings.NewReader(text)}}
		_, err := l.Receive(1, time.Second)
		require.ErrorIs(t, err, ErrTooLong, text)
		assert.Nil(t, l.conn)
	}
}
