package cache

import (
	"errors"
	"strconv"
	"strings"
)

// message hands an outcome to the processes that wait for it. The first line names
// digest, nonces, token, "broken" or "-", and the size of the value; the value
// follows, unless it is too long to publish.
type message struct {
	digest, nonces, token string
	broken                bool
	size                  int
	value                 string
}

var errMessage = errors.New("the first line is not that of an outcome")

// head returns the first line of the message about an outcome.
func (l *lease) head(o Outcome) string {
	broken := "-"
	if o.Broken {
		broken = "broken"
	}
	return l.digest + " " + l.nonces + " " + l.token + " " + broken + " " + strconv.Itoa(len(o.Value)) + "\n"
}

func parseMessage(payload string) (message, error) {
	head, value, _ := strings.Cut(payload, "\n")
	fields := strings.Fields(head)
	if len(fields) != 5 {
		return message{}, errMessage
	}
	size, err := strconv.Atoi(fields[4])
	if err != nil {
		return message{}, errMessage
	}
	return message{digest: fields[0], nonces: fields[1], token: fields[2], broken: fields[3] == "broken", size: size, value: value}, nil
}
