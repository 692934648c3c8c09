package wire

import (
	"encoding/json"
	"net/http"
	"strings"
)

// StatusOf chooses the HTTP status of an envelope: what the service said,
// within what fits. A service's mistake never makes an error look like a
// success, nor the other way round. 0: this is no envelope.
func StatusOf(envelope string, said int) int {
	var read struct {
		OK    *bool `json:"ok"`
		Error struct {
			Status int `json:"status"`
		} `json:"error"`
	}
	// What our own workers write need not be read to be known.
	ok := strings.HasPrefix(envelope, `{"ok":true,`)
	if !ok && (said == 0 || !strings.HasPrefix(envelope, `{"ok":false,`)) {
		if json.Unmarshal([]byte(envelope), &read) != nil || read.OK == nil {
			return 0
		}
		ok = *read.OK
	}
	if ok {
		return statusWithin(said, http.StatusOK, http.StatusMultipleChoices-1, http.StatusOK)
	}
	if said == 0 {
		said = read.Error.Status
	}
	return statusWithin(said, http.StatusBadRequest, 599, http.StatusInternalServerError)
}

// statusWithin is a status, or another where it is out of range or allows no
// body.
func statusWithin(said, lowest, highest, otherwise int) int {
	if said < lowest || said > highest || said == http.StatusNoContent || said == http.StatusResetContent {
		return otherwise
	}
	return said
}
