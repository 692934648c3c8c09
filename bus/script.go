package bus

import "github.com/oskadev/mailroom/internal/script"

// Scripts are those that run on a service's slot.
type Scripts struct{ Enqueue, Settle, Keep, Retire, Replay, Watch, Cancel script.Script }

func loadScripts() Scripts {
	return Scripts{
		Enqueue: script.New(LuaSource("lane.lua", "enqueue.lua")),
		Settle:  script.New(LuaSource("lane.lua", "settle.lua")),
		Keep:    script.New(LuaSource("keep.lua")),
		Retire:  script.New(LuaSource("retire.lua")),
		Replay:  script.New(LuaSource("lane.lua", "replay.lua")),
		Watch:   script.New(LuaSource("watch.lua")),
		Cancel:  script.New(LuaSource("lane.lua", "cancel.lua")),
	}
}
