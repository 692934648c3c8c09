package workers

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// splitArray returns the elements of a JSON array, byte by byte as they are written. The
// bus has validated the array.
func splitArray(array string) []json.RawMessage {
	var elements []json.RawMessage
	_ = jsonv2.Unmarshal([]byte(array), &elements, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return elements
}
