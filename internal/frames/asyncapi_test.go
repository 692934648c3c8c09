package frames

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/reference/asyncapi.json")

// object is a JSON object.
type object = map[string]any

func ref(to string) object { return object{"$ref": to} }

// asyncAPI describes the WebSocket as an AsyncAPI 3 document
// (https://www.asyncapi.com/docs/reference/specification/v3.0.0), from the golden frames.
func asyncAPI(sent, received []string) object {
	messages := object{}
	var out, in []object
	for _, name := range slices.Concat(sent, received) {
		messages[name] = object{"name": name, "contentType": "application/json", "payload": ref("frames.schema.json#/$defs/" + name)}
	}
	for _, name := range sent {
		out = append(out, ref("#/channels/socket/messages/"+name))
	}
	for _, name := range received {
		in = append(in, ref("#/channels/socket/messages/"+name))
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "Frames of Mailroom", "version": "1",
			"description": "Services and clients in any language. frames.md says who sends a frame, and what it means.",
		},
		"defaultContentType": "application/json",
		"channels": object{"socket": object{
			"address": "/socket", "description": "A WebSocket with the subprotocol mailroom.v1. Workers also use the frames on stdio and on a unix socket.",
			"messages": messages, "bindings": object{"ws": object{"method": "GET"}},
		}},
		"operations": object{
			"send":    object{"action": "send", "channel": ref("#/channels/socket"), "messages": out, "summary": "Frames that Mailroom sends."},
			"receive": object{"action": "receive", "channel": ref("#/channels/socket"), "messages": in, "summary": "Frames that workers and clients send."},
		},
	}
}

// names returns the names in a golden file, each once.
func names(t *testing.T, file string) []string {
	t.Helper()
	var list []string
	for _, pair := range golden(t, file) {
		if !slices.Contains(list, pair[0]) {
			list = append(list, pair[0])
		}
	}
	return list
}

func TestAsyncAPIIsCurrent(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "reference", "asyncapi.json")
	want, err := json.MarshalIndent(asyncAPI(names(t, "sent.txt"), names(t, "received.txt")), "", "  ")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile(file, want, 0o600))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text), "%s is stale: run go test ./internal/frames -update", file)
}
