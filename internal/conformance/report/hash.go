package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/internal/conformance/suites"
	"github.com/oskadev/mailroom/internal/conformance/trace"
)

// ProtocolHash returns the SHA-256 of what defines the protocol for programs: the Lua
// scripts, the golden files and the checks, each after its name and its length.
func ProtocolHash() (string, error) {
	hash := sha256.New()
	add := func(name, text string) { _, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text) }
	sources := trace.Scripts()
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		add(name+".lua", sources[name])
	}
	for _, files := range []fs.FS{bus.Golden, suites.Files} {
		err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, name)
			add(name, string(text))
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
