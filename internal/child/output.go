package child

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"strings"
)

// maxLogged is the longest part of a line that is logged, in bytes.
const maxLogged = 16 << 10

// logLines logs each line of a stream until it ends.
func logLines(in io.ReadCloser, log *slog.Logger, stream string) {
	defer func() { _ = in.Close() }()
	lines := bufio.NewReaderSize(in, maxLogged)
	for {
		line, err := lines.ReadSlice('\n')
		logLine(log, stream, line)
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line is dropped
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func logLine(log *slog.Logger, stream string, line []byte) {
	if text := strings.TrimRight(string(line[:min(len(line), maxLogged)]), "\r\n"); text != "" {
		log.Info("worker output", "stream", stream, "line", text)
	}
}
