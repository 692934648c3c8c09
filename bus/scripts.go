package bus

import (
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/script"
)

// Scripts are the Lua scripts of the protocol. Each runs on the slot of one service.
type Scripts struct{ Enqueue, Settle, Keep, Progress, Release, Retire, Replay, Watch, Cancel script.Script }

func loadScripts() Scripts {
	return Scripts{
		Enqueue:  script.New(wire.LuaSource("account.lua", "lane.lua", "enqueue.lua")),
		Settle:   script.New(wire.LuaSource("account.lua", "lane.lua", "settle.lua")),
		Keep:     script.New(wire.LuaSource("keep.lua")),
		Progress: script.New(wire.LuaSource("progress.lua")),
		Release:  script.New(wire.LuaSource("release.lua")),
		Retire:   script.New(wire.LuaSource("retire.lua")),
		Replay:   script.New(wire.LuaSource("account.lua", "lane.lua", "replay.lua")),
		Watch:    script.New(wire.LuaSource("watch.lua")),
		Cancel:   script.New(wire.LuaSource("account.lua", "lane.lua", "cancel.lua")),
	}
}
