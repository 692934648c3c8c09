package wire

import "embed"

//go:embed lua/*.lua
var luaFiles embed.FS

// LuaSource returns the source of a script: its files in order. If a file does not
// exist, the script returns an error.
func LuaSource(names ...string) string {
	var source []byte
	for _, name := range names {
		part, err := luaFiles.ReadFile("lua/" + name)
		if err != nil {
			return `return redis.error_reply("no script ` + name + `")`
		}
		source = append(source, part...)
	}
	return string(source)
}
