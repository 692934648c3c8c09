package bus

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// speech is a connection on which a server says something, and no more.
type speech struct {
	net.Conn
	io.Reader
}

func (s speech) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (speech) SetReadDeadline(t time.Time) error { return nil }
func (speech) Close() error                      { return nil }

// chunks gives not more at once than a socket does.
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
		l := &link{conn: speech{Reader: slow(strings.NewReader(strings.Join(answers, "") + strings.Join(answers, "")))}}
		got, err := l.receive(3, time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers[:3], got)
		got, err = l.receive(len(answers)-3, time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers[3:], got)
		got, err = l.receive(len(answers), time.Second)
		require.NoError(t, err)
		assert.Equal(t, answers, got)
		_, err = l.receive(1, time.Second)
		require.ErrorIs(t, err, io.EOF)
		assert.Nil(t, l.conn, "what comes next is not known")
	}
}

// Whatever a server says, it is cut into answers or refused, and read in the same way.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "*2\r\n:1\r\n$1\r\na\r\n", "$-1\r\n", "*1\r\n*1\r\n*1\r\n$3\r\nabc\r\n", "$9999999999\r\n", "$9223372036854775807\r\n", "*-2\r\n", "\r\n", "$1\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		l := &link{conn: speech{Reader: bytes.NewReader(text)}}
		rest := string(text)
		for {
			answers, err := l.receive(1, time.Second)
			if err != nil {
				return
			}
			after, found := strings.CutPrefix(rest, answers[0])
			require.True(t, found, "it is what came next")
			rest = after
			_, _ = wordsOf(answers[0])
			_, _ = wordOf(answers[0])
			_, _ = streamEntries(answers[0])
		}
	})
}

func TestCommandsAreWrittenAsRedisReadsThem(t *testing.T) {
	t.Parallel()
	var c commands
	c.add("set", "k", "ä\r\n")
	c.begin(4)
	c.text("x")
	c.number(-12)
	c.millis(0)
	c.bytes([]byte{0, 255})
	assert.Equal(t, 2, c.count())
	assert.Equal(t, "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$4\r\nä\r\n\r\n", string(c.at(0)))
	assert.Equal(t, "*4\r\n$1\r\nx\r\n$3\r\n-12\r\n$0\r\n\r\n$2\r\n\x00\xff\r\n", string(c.at(1)))
	again := commands{}
	again.copy(c.at(0))
	assert.Equal(t, c.at(0), again.at(0))
	c.reset()
	assert.Zero(t, c.count())
	assert.Empty(t, c.buf)
}

// echoOf asks for a word back.
func echoOf(t *testing.T, ways *lines, word string) error {
	t.Helper()
	k, err := ways.to(t.Context(), "k")
	if err != nil {
		return err
	}
	k.out.add("echo", word)
	ways.exchange(t.Context(), time.Second)
	if k.err != nil {
		return k.err
	}
	got, err := wordOf(k.taken[0])
	require.NoError(t, err)
	assert.Equal(t, word, got)
	return nil
}

func newTestLines(t *testing.T, url string) *lines {
	t.Helper()
	conn, err := Connect(url, Options{Timeout: time.Second})
	require.NoError(t, err)
	ways := conn.newLines()
	t.Cleanup(func() {
		ways.close()
		assert.NoError(t, conn.Close())
	})
	return ways
}

// A connection that was closed while nobody used it costs nothing.
func TestClosedConnectionIsNoticedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	redis.Do("ACL", "SETUSER", "me", "on", ">pw", "+echo", "+select", "+ping")
	ways := newTestLines(t, strings.Replace(redis.URL(), "://", "://me:pw@", 1)+"/3")
	require.NoError(t, echoOf(t, ways, "before"))
	before := ways.links[""].conn
	assert.False(t, ways.links[""].closed())
	redis.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	testsupport.Eventually(t, 5*time.Second, "it is seen", func() bool { return isClosed(before) })
	ways.links[""].used = time.Now().Add(-time.Second)
	require.NoError(t, echoOf(t, ways, "behind"))
	assert.NotEqual(t, before, ways.links[""].conn)
}

// One that is only idle, for longer than its deadlines, stays.
func TestIdleLinkStays(t *testing.T) {
	t.Parallel()
	ways := newTestLines(t, testsupport.StartRedis(t).URL())
	k, err := ways.to(t.Context(), "k")
	require.NoError(t, err)
	const patience = 50 * time.Millisecond
	_, err = k.ask(patience, func(out *commands) { out.add("echo", "a") })
	require.NoError(t, err)
	before, end := k.conn, time.Now().Add(2*patience)
	testsupport.Eventually(t, 5*time.Second, "its deadlines have passed", func() bool { return time.Now().After(end) })
	require.NoError(t, echoOf(t, ways, "behind"))
	assert.Equal(t, before, k.conn)
}

// Behind an address that stays there may be another server by now, or the same as a
// replica.
func TestLinkLeavesAServerThatIsNoMaster(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	ways := newTestLines(t, redis.URL())
	require.NoError(t, echoOf(t, ways, "before"))
	k := ways.links[""]
	before := k.conn
	redis.Do("REPLICAOF", "127.0.0.1", testsupport.FreePort(t))
	answer, err := k.ask(time.Second, func(out *commands) { out.add("set", "k", "v") })
	require.NoError(t, err)
	assert.Contains(t, answer, "-READONLY")
	redis.Do("REPLICAOF", "NO", "ONE")
	require.NoError(t, echoOf(t, ways, "behind"))
	assert.NotEqual(t, before, k.conn)
}

// A connection is lost between two mails of one batch.
func TestWhatWasNotSentIsSaidToBeNotSent(t *testing.T) {
	t.Parallel()
	ways := newTestLines(t, testsupport.Miniredis(t))
	k, err := ways.to(t.Context(), "k")
	require.NoError(t, err)
	k.out.add("echo", "a")
	k.drop()
	ways.exchange(t.Context(), time.Second)
	require.ErrorIs(t, k.err, ErrUnavailable)
	require.NoError(t, echoOf(t, ways, "behind"), "and nothing of it is left")
}

// What something long has left behind costs what comes behind it nothing.
func TestLinkGivesBackWhatLongAnswersTook(t *testing.T) {
	t.Parallel()
	const long, short = 2 << 20, 200
	text := func(n int) string { return "$" + strconv.Itoa(n) + "\r\n" + strings.Repeat("x", n) + "\r\n" }
	l := &link{conn: speech{Reader: chunks{strings.NewReader(text(long) + strings.Repeat(text(short), 40_000))}}}
	_, err := l.receive(1, time.Second)
	require.NoError(t, err)
	for range 39_000 { // there is always more behind it
		_, err := l.receive(1, time.Second)
		require.NoError(t, err)
	}
	assert.Less(t, cap(l.in), 2*most)
}

func TestLinkGivesUpWhenItsPatienceEnds(t *testing.T) {
	t.Parallel()
	redis := testsupport.StartRedis(t)
	proxy := testsupport.StartProxy(t, redis.Addr())
	ways := newTestLines(t, proxy.URL())
	require.NoError(t, echoOf(t, ways, "before"))
	proxy.BlackholeReplies(true)
	began := time.Now()
	var timeout net.Error
	require.ErrorAs(t, echoOf(t, ways, "lost"), &timeout)
	assert.True(t, timeout.Timeout())
	assert.Less(t, time.Since(began), 3*time.Second)
	proxy.BlackholeReplies(false)
	require.NoError(t, echoOf(t, ways, "behind"), "on a connection of which the lost answer is not expected")
}

func TestNothingIsSentWhereNobodyListens(t *testing.T) {
	t.Parallel()
	ways := newTestLines(t, "redis://127.0.0.1:"+strconv.Itoa(testsupport.FreePort(t)))
	err := echoOf(t, ways, "nobody")
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
}
