// Package corpus holds messages to a gateway, most of them hostile, and the status that each
// gets. It opens no connection: a test sends them to a gateway in its process or to a real one.
//
// The cases are in messages.txt. A case is a line "STATUS GROUP: NAME" and a line with the
// bytes, which begins with a tab and has the escapes of a Go string. STATUS is a number, or
// 4xx for any of them. @GET, @POST, @BODY, @LEN and @HEX stand for the fields of a Target.
package corpus

import (
	_ "embed" // messages.txt
	"fmt"
	"strconv"
	"strings"
)

//go:embed messages.txt
var messages string

// Target is what the messages are sent to.
type Target struct {
	// Get is the path of an action that answers 200.
	Get string
	// Post is the path of an unsafe action that answers 201.
	Post string
	// Body is a valid body for Post, of 16 to 255 bytes. @LEN is its length and @HEX its
	// length in two hexadecimal digits.
	Body string
}

// Case is one message.
type Case struct {
	Name string
	// Bytes are sent as they are.
	Bytes string
	// Status is the status of the only answer; 0: any from 400 to 499.
	Status int
	// Honest reports that the message is valid: its connection stays open. After another
	// message the connection ends, and the message runs nothing.
	Honest bool
}

// Load returns the cases for a target.
func Load(to Target) ([]Case, error) {
	fill := strings.NewReplacer("@GET", to.Get, "@POST", to.Post, "@BODY", to.Body,
		"@LEN", strconv.Itoa(len(to.Body)), "@HEX", fmt.Sprintf("%02x", len(to.Body)))
	var cases []Case
	for i, line := range strings.Split(messages, "\n") {
		text, isBytes := strings.CutPrefix(line, "\t")
		switch {
		case isBytes && len(cases) > 0:
			decoded, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
			if err != nil {
				return nil, fmt.Errorf("messages.txt:%d: %w", i+1, err)
			}
			cases[len(cases)-1].Bytes = fill.Replace(decoded)
		case line != "" && line[0] != '#':
			status, name, found := strings.Cut(line, " ")
			code, err := strconv.Atoi(status)
			if !found || err != nil && status != "4xx" {
				return nil, fmt.Errorf("messages.txt:%d: want a status and a name", i+1)
			}
			cases = append(cases, Case{Name: name, Status: code, Honest: strings.HasPrefix(name, "honest: ")})
		}
	}
	return cases, nil
}
