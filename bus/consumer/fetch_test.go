package consumer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/internal/rediserr"
)

func TestStreamEntriesAreRead(t *testing.T) {
	t.Parallel()
	reply := "*1\r\n*2\r\n$1\r\ns\r\n*3\r\n" +
		"*2\r\n$3\r\n1-1\r\n*4\r\n$1\r\nv\r\n$1\r\n1\r\n$6\r\naction\r\n$4\r\nA\r\nB\r\n" +
		"*2\r\n$3\r\n1-2\r\n*-1\r\n" +
		"*2\r\n$3\r\n1-3\r\n*2\r\n$4\r\nargs\r\n$0\r\n\r\n"
	batch, err := readStream(reply)
	require.NoError(t, err)
	require.Len(t, batch, 2, "the deleted one is left out")
	assert.Equal(t, "1-1", batch[0].Entry)
	assert.Equal(t, "A\r\nB", batch[0].Request.Action)
	assert.Equal(t, "1-3", batch[1].Entry)
	for _, none := range []string{"*-1\r\n", "*0\r\n", "$-1\r\n"} {
		batch, err := readStream(none)
		require.NoError(t, err, none)
		assert.Empty(t, batch)
	}
	_, err = readStream("-NOGROUP no such group\r\n")
	assert.True(t, rediserr.IsNoGroup(err) && rediserr.IsServer(err), err)
	for cut := range len(reply) {
		_, err := readStream(reply[:cut])
		require.Error(t, err, reply[:cut])
	}
}

func FuzzStreamEntries(f *testing.F) {
	f.Add("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nv\r\n$1\r\n1\r\n")
	f.Fuzz(func(t *testing.T, reply string) {
		batch, err := readStream(reply)
		if err != nil {
			return
		}
		for _, d := range batch {
			if !strings.Contains(reply, d.Entry) {
				t.Fatalf("%q is not in the reply", d.Entry)
			}
		}
	})
}
