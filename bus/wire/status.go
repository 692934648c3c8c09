package wire

import (
	"encoding/json"
	"net/http"
)

// StatusOf returns the HTTP status of an envelope: the declared one if it fits the
// envelope. An error never gets the status of a success, nor a success that of an error.
// 0: the text is not an envelope.
func StatusOf[Text string | []byte](envelope Text, declared int) int {
	// The envelopes of Go workers begin like this and need no parsing.
	ok := begins(envelope, `{"ok":true,`)
	if !ok && (declared == 0 || !begins(envelope, `{"ok":false,`)) {
		known, status := false, 0
		if known, ok, status = readStatus([]byte(envelope)); !known {
			return 0
		}
		if !ok && declared == 0 {
			declared = status
		}
	}
	if ok {
		return statusWithin(declared, http.StatusOK, http.StatusMultipleChoices-1, http.StatusOK)
	}
	return statusWithin(declared, http.StatusBadRequest, 599, http.StatusInternalServerError)
}

// IsAnswerStatus reports whether a status may be that of an answer: of a success or of an error,
// and with a body. StatusOf returns no other.
func IsAnswerStatus(status int) bool {
	return statusWithin(status, http.StatusOK, http.StatusMultipleChoices-1, 0) != 0 || statusWithin(status, http.StatusBadRequest, 599, 0) != 0
}

// begins reports whether a text begins with a prefix. It does not copy the text.
func begins[Text string | []byte](text Text, prefix string) bool {
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}

// readStatus parses an envelope; not known: it is none. An error has a status of its own,
// or 0.
func readStatus(envelope []byte) (known, ok bool, status int) {
	var read struct {
		OK    *bool `json:"ok"`
		Error struct {
			Status int `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(envelope, &read) != nil || read.OK == nil {
		return false, false, 0
	}
	return true, *read.OK, read.Error.Status
}

// statusWithin returns a status, or the fallback if it is out of range or allows no
// body.
func statusWithin(declared, lowest, highest, fallback int) int {
	if declared < lowest || declared > highest || declared == http.StatusNoContent || declared == http.StatusResetContent {
		return fallback
	}
	return declared
}

// maxETag is the length of the longest ETag of an answer.
const maxETag = 128

// IsETag reports whether text is a strong entity tag (RFC 9110, section 8.8.3) in ASCII.
func IsETag(text string) bool {
	if len(text) < 2 || len(text) > maxETag || text[0] != '"' || text[len(text)-1] != '"' {
		return false
	}
	for i := 1; i < len(text)-1; i++ {
		if c := text[i]; c <= ' ' || c == '"' || c >= 0x7f {
			return false
		}
	}
	return true
}
