package bus

import (
	"embed"

	"github.com/oskadev/mailroom/internal/script"
)

//go:embed lua/*.lua
var scriptFiles embed.FS

// Scripts are those that run on a service's slot.
type Scripts struct{ Enqueue, Settle, Keep, Retire, Replay, Watch, Cancel script.Script }

func loadScripts() Scripts {
	return Scripts{
		Enqueue: loadScript("lane.lua", "enqueue.lua"),
		Settle:  loadScript("lane.lua", "settle.lua"),
		Keep:    loadScript("keep.lua"),
		Retire:  loadScript("retire.lua"),
		Replay:  loadScript("lane.lua", "replay.lua"),
		Watch:   loadScript("watch.lua"),
		Cancel:  loadScript("lane.lua", "cancel.lua"),
	}
}

// loadScript reads a script from its files, one behind the other.
func loadScript(names ...string) script.Script {
	var source []byte
	for _, name := range names {
		part, err := scriptFiles.ReadFile("lua/" + name)
		if err != nil {
			return script.New(`return redis.error_reply("no script ` + name + `")`)
		}
		source = append(source, part...)
	}
	return script.New(string(source))
}
