package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// ProtocolHash returns the SHA-256 of what defines the protocol here: the Lua scripts and
// the checks, each after its name and its length.
func ProtocolHash() (string, error) {
	hash := sha256.New()
	add := func(name, text string) { _, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text) }
	sources := scripts()
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		add(name+".lua", sources[name])
	}
	files, err := fs.Glob(suiteFiles, "suites/*.yaml")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := suiteFiles.ReadFile(file)
		if err != nil {
			return "", err
		}
		add(file, string(text))
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
