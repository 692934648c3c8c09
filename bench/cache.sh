#!/usr/bin/env bash
# bench/cache.sh: compares the shared cache with Fiber alone (the peer direct, which answers at once) and with uncached
# requests of Mailroom, in turn: requests/s of local entries and of shared entries, the median latency that a miss adds,
# and the CPU time of gateway, worker and Redis per request. All on loopback. Environment: PEERS (../shared/peers), ROUNDS (3), SECS (4), CONNECTIONS (64),
# PORT, REDIS_PORT.
export PORT=${PORT:-7620} REDIS_PORT=${REDIS_PORT:-7692}
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${PEERS:=../shared/peers}" "${ROUNDS:=3}" "${SECS:=4}" "${CONNECTIONS:=64}"
number ROUNDS
number SECS
number CONNECTIONS
need redis-server redis-cli wrk curl go
copy_peers direct
build
rows=$TMP/cache
: >"$rows"
# Each request has a new path, and is a miss.
cat >"$TMP/miss.lua" <<'END'
local threads = 0
function setup(thread) thread:set("thread", threads); threads = threads + 1 end
local n = 0
function request() n = n + 1; return wrk.format("GET", "/echo/" .. thread * 100000000 + n + OFFSET .. "/cached?ms=" .. MS) end
function init(args) OFFSET = tonumber(args[1]); MS = args[2]; if args[3] ~= "" then wrk.headers["Cache-Control"] = args[3] end end
function done(s, latency) print(("RESULT %d %d"):format(latency:percentile(50), s.requests)) end
END

# cpu: CPU time of all started processes so far, in microseconds.
cpu() {
  local pid
  for pid in "${PIDS[@]}"; do cat "/proc/$pid/stat"; done |
    awk -v hz="$(getconf CLK_TCK)" '{sub(/^.*\) /, ""); t += $12 + $13} END {printf "%d", t * 1000000 / hz}'
}

# rate NAME PATH: requests/s of local or shared entries, and their CPU time.
rate() {
  local before
  ROUTE=$2 load "$CONNECTIONS" 1 2 "$PORT" >/dev/null
  before=$(cpu)
  ROUTE=$2 load "$CONNECTIONS" "$SECS" 2 "$PORT" >"$TMP/result"
  awk -v n="$1" -v t="$(($(cpu) - before))" '{print n, $1; print "cpu-" n, t / $2}' "$TMP/result" >>"$rows"
}

# median_of NAME CONNECTIONS CACHE-CONTROL [MS]: microseconds of requests with different paths, and their CPU time. The
# handler waits for MS.
median_of() {
  local before
  before=$(cpu)
  wrk -t1 "-c$2" "-d${SECS}s" -s "$TMP/miss.lua" "http://127.0.0.1:$PORT" -- "$RANDOM$RANDOM" "${4:-0}" "$3" >"$TMP/result"
  awk -v n="$1" -v t="$(($(cpu) - before))" '/^RESULT/ {print n, $2; print "cpu-" n, t / $3}' "$TMP/result" >>"$rows"
}

answers() { [ "$(curl -s -o /dev/null -m 5 -w '%{http_code}' "http://127.0.0.1:$PORT/users/1")" = 200 ]; }

mailroom() {
  start_redis
  start_worker 0
  start_gateway 0 "$@"
  within 15 "the gateway serves /echo/1" served "$PORT"
}

for ((round = 1; round <= ROUNDS; round++)); do
  start direct env PORT="$PORT" "$copy/bin/peers" direct
  within 10 "direct answers" answers
  rate direct /users/1
  stop_all
  mailroom
  rate local /echo/1/cached
  for connections in 1 "$CONNECTIONS"; do
    for name in uncached miss uncached miss; do
      case $name in uncached) header=no-store ;; *) header= ;; esac
      median_of "$name-$connections" "$connections" "$header"
    done
  done
  median_of slow-uncached "$CONNECTIONS" no-store 5
  median_of slow-miss "$CONNECTIONS" "" 5
  stop_all
  mailroom --near-bytes 0
  rate shared /echo/1/cached
  stop_all
done

of() { awk -v n="$1" '$1 == n {print $2}' "$rows" | median; }
echo "# $CONNECTIONS connections, $SECS s each, medians of $ROUNDS rounds, $(nproc) CPUs"
awk -v d="$(of direct)" -v n="$(of local)" -v s="$(of shared)" -v u1="$(of uncached-1)" -v m1="$(of miss-1)" \
  -v c="$CONNECTIONS" -v u="$(of "uncached-$CONNECTIONS")" -v m="$(of "miss-$CONNECTIONS")" -v su="$(of slow-uncached)" -v sm="$(of slow-miss)" \
  -v cs="$(of cpu-shared)" -v cu="$(of "cpu-uncached-$CONNECTIONS")" -v cm="$(of "cpu-miss-$CONNECTIONS")" 'BEGIN {
  printf "local entries against Fiber alone, requests/s: %.2f (reach: at least 0.8)\n", n / d
  printf "shared entries against Fiber alone, requests/s: %.2f (reach: at least 0.45)\n", s / d
  printf "a miss against an uncached request, p50 at 1 connection: %.2f (reach: at most 1.40)\n", m1 / u1
  printf "a miss against an uncached request, p50 at %d connections: %.2f (reach: at most 1.15)\n", c, m / u
  printf "the same of a read that takes 5 ms: %.2f\n", sm / su
  printf "CPU per request at %d connections, µs: shared entry %.0f, uncached %.0f, miss %.0f\n", c, cs, cu, cm}'
