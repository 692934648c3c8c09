-- Prints one line of numbers. PORTS spreads the threads over ports; BODY makes each request a POST of that JSON.
local ports = {}
for port in (os.getenv("PORTS") or ""):gmatch("%d+") do table.insert(ports, port) end

local threads = 0
function setup(thread)
  if #ports > 0 then
    thread.addr = wrk.lookup("127.0.0.1", ports[threads % #ports + 1])[1]
    threads = threads + 1
  end
end

local body = os.getenv("BODY")
if body and body ~= "" then
  wrk.method = "POST"
  wrk.body = body
  wrk.headers["Content-Type"] = "application/json"
end

function done(s, latency)
  local e = s.errors
  print(("RESULT %.0f %d %d %d %d %d"):format(s.requests / s.duration * 1e6, s.requests, latency:percentile(50),
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
