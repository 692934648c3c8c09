package trace

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/script"
)

// Scripts returns the sources of the scripts of the protocol by their names.
func Scripts() map[string]string {
	sources := make(map[string]string)
	for _, name := range []string{"keep", "progress", "retire", "watch", "release", "trial"} {
		sources[name] = wire.LuaSource(name + ".lua")
	}
	for _, name := range []string{"settle", "enqueue", "cancel", "replay"} {
		sources[name] = wire.LuaSource("account.lua", "lane.lua", name+".lua")
	}
	return sources
}

// Libraries returns the texts for FUNCTION LOAD of the scripts that a worker calls.
func Libraries() []string {
	var list []string
	caller, _ := script.NewCaller(script.Functions) // it is a known way
	for _, name := range []string{"settle", "keep", "progress", "release", "retire", "trial"} {
		list = append(list, script.New(caller, name, Scripts()[name]).Library())
	}
	return list
}

// scriptNames returns the names of the scripts of the protocol by their digests and by the
// names of their functions.
func scriptNames() map[string]string {
	names := make(map[string]string)
	for name, source := range Scripts() {
		names[Digest(source)] = name
		names[script.FunctionName(name, Digest(source))] = name
	}
	return names
}

// Digest returns the name that Redis gives to a script.
func Digest(source string) string {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}
