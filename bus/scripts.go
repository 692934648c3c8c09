package bus

import (
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/script"
)

// Scripts are the Lua scripts of the protocol. Each runs on the slot of one service.
type Scripts struct{ Enqueue, Settle, Keep, Progress, Release, Retire, Replay, Watch, Cancel, Trial script.Script }

// allowOOM lets a script run while Redis has no free memory: it frees memory, or adds hardly any.
const allowOOM = "allow-oom"

func loadScripts(caller *script.Caller) Scripts {
	return Scripts{
		Enqueue:  script.New(caller, "enqueue", wire.LuaSource("account.lua", "lane.lua", "enqueue.lua")),
		Settle:   script.New(caller, "settle", wire.LuaSource("account.lua", "lane.lua", "settle.lua")),
		Keep:     script.New(caller, "keep", wire.LuaSource("keep.lua"), allowOOM),
		Progress: script.New(caller, "progress", wire.LuaSource("progress.lua")),
		Release:  script.New(caller, "release", wire.LuaSource("release.lua"), allowOOM),
		Retire:   script.New(caller, "retire", wire.LuaSource("retire.lua"), allowOOM),
		Replay:   script.New(caller, "replay", wire.LuaSource("account.lua", "lane.lua", "replay.lua"), allowOOM),
		Watch:    script.New(caller, "watch", wire.LuaSource("watch.lua")),
		Cancel:   script.New(caller, "cancel", wire.LuaSource("account.lua", "lane.lua", "cancel.lua"), allowOOM),
		Trial:    script.New(caller, "trial", wire.LuaSource("trial.lua"), allowOOM),
	}
}

// All returns all scripts.
func (s *Scripts) All() []script.Script {
	return []script.Script{s.Enqueue, s.Settle, s.Keep, s.Progress, s.Release, s.Retire, s.Replay, s.Watch, s.Cancel, s.Trial}
}
