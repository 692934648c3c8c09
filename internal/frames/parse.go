package frames

import (
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseWorker reads a frame of a worker. The error is a *Bye.
func ParseWorker(text []byte) (*Worker, error) {
	w := new(Worker)
	if err := parse(text, w); err != nil {
		return nil, err
	}
	return w, nil
}

// parse reads a frame: one JSON object. Of a repeated name the last value counts; values
// inside a frame are for their receiver to check.
func parse(text []byte, into any) error {
	err := jsonv2.Unmarshal(text, into, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return &Bye{Reason: Invalid, Message: fmt.Sprintf("not JSON at byte %d: %v", syntax.ByteOffset, syntax.Err)}
	}
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		if semantic.JSONPointer == "" {
			return &Bye{Reason: Invalid, Message: "want a JSON object"}
		}
		return &Bye{Reason: Invalid, Message: fmt.Sprintf("%s has the wrong type", semantic.JSONPointer)}
	}
	return &Bye{Reason: Invalid, Message: "not a frame"}
}
