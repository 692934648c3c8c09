package wire

import (
	"encoding/json"
	"net/http"
	"strings"
)

// StatusOf returns the HTTP status of an envelope: the declared one if it fits the
// envelope. An error never gets the status of a success, nor a success that of an error.
// 0: the text is not an envelope.
func StatusOf(envelope string, declared int) int {
	var read struct {
		OK    *bool `json:"ok"`
		Error struct {
			Status int `json:"status"`
		} `json:"error"`
	}
	// The envelopes of Go workers begin like this and need no parsing.
	ok := strings.HasPrefix(envelope, `{"ok":true,`)
	if !ok && (declared == 0 || !strings.HasPrefix(envelope, `{"ok":false,`)) {
		if json.Unmarshal([]byte(envelope), &read) != nil || read.OK == nil {
			return 0
		}
		ok = *read.OK
	}
	if ok {
		return statusWithin(declared, http.StatusOK, http.StatusMultipleChoices-1, http.StatusOK)
	}
	if declared == 0 {
		declared = read.Error.Status
	}
	return statusWithin(declared, http.StatusBadRequest, 599, http.StatusInternalServerError)
}

// statusWithin returns a status, or the fallback if it is out of range or allows no
// body.
func statusWithin(declared, lowest, highest, fallback int) int {
	if declared < lowest || declared > highest || declared == http.StatusNoContent || declared == http.StatusResetContent {
		return fallback
	}
	return declared
}
