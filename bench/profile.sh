#!/usr/bin/env bash
# bench/profile.sh (make profile): records CPU profiles of gateway and worker as default.pgo, which the Go compiler uses to
# optimize the binary (https://go.dev/doc/pgo). Run it after a change of the hot path; the profile need not be exact.
# Environment: SECS per load (10), PORT, REDIS_PORT.
export PORT=${PORT:-7640} REDIS_PORT=${REDIS_PORT:-7694}
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${SECS:=10}"
number SECS
need redis-server redis-cli wrk curl go
GATEWAY_PROFILE=127.0.0.1:$((PORT + 1)) WORKER_PROFILE=127.0.0.1:$((PORT + 2))
# Profiles contain the paths of the binary and its sources; neither contains the path of this checkout.
BIN=/tmp/mailroom-profile/mailroom
mkdir -p "$TMP" "${BIN%/*}"
trap 'stop_all; rm -rf "${BIN%/*}"' EXIT
CGO_ENABLED=0 go build -pgo=off -trimpath -tags profile -o "$BIN" .

cat >"$TMP/versions.yaml" <<'END'
versions:
  v1:
    routes:
      GET /echo/:id: {path: {id: {type: integer}}, steps: [{call: echo GET_ECHO, args: [path.id]}]}
END
# a new path for each request
cat >"$TMP/misses.lua" <<'END'
local n = 0
function request() n = n + 1; return wrk.format("GET", "/echo/" .. n .. "/cached") end
END

start_redis
PROFILE=$GATEWAY_PROFILE start_gateway 0 --versions "$TMP/versions.yaml"
PROFILE=$WORKER_PROFILE start_worker 0
within 15 "the gateway serves /echo/1" served "$PORT"

# profiled NAME WRK-ARGUMENT…: profiles both processes while wrk runs.
profiled() {
  local name=$1
  shift
  wrk -t1 "-d$((SECS + 2))s" "$@" >"$TMP/wrk-$name.log" &
  local load=$! worker
  sleep 1
  curl -fsS -o "$TMP/worker-$name.prof" "http://$WORKER_PROFILE/debug/pprof/profile?seconds=$SECS" &
  worker=$!
  curl -fsS -o "$TMP/gateway-$name.prof" "http://$GATEWAY_PROFILE/debug/pprof/profile?seconds=$SECS"
  wait "$worker" "$load"
}
url=http://127.0.0.1:$PORT
profiled get64 -c64 "$url/echo/1"
profiled get256 -c256 "$url/echo/1"
BODY='{"id":1,"name":"Oska","email":"oska@example.com"}' PORTS=$PORT profiled post -c128 -s bench/wrk.lua "$url/echo"
profiled misses -c64 -s "$TMP/misses.lua" "$url"
profiled hits -c64 "$url/echo/1/cached"
profiled composed -c64 "$url/v1/echo/1"
go tool pprof -proto "$TMP"/gateway-*.prof "$TMP"/worker-{get64,get256,post,misses}.prof >"$TMP/default.pgo"
mv "$TMP/default.pgo" default.pgo
ls -l default.pgo
