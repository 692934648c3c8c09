#!/usr/bin/env bash
# bench/floor.sh: measures the commands of a safe request with redis-benchmark and Redis alone: XADD of one request,
# XREADGROUP of 32, PUBLISH of 32 replies. It omits XACK and XDEL, which need IDs that redis-benchmark does not know. It
# prints requests/s for each command, and for all three together: no gateway or worker can be faster on the same core. All
# on loopback. Environment: COUNT (320000 requests), REDIS_PORT.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${COUNT:=320000}"
number COUNT
need redis-server redis-cli redis-benchmark
mkdir -p "$TMP"
start_redis
mailbox='mailroom:{echo}:requests' id=01a20bcf-ce84-7e3d-84df-72a1b21dd09e
redis XGROUP CREATE "$mailbox" workers 0 MKSTREAM >/dev/null

# rate EACH COMMAND…: prints requests/s of a command that handles EACH requests.
rate() {
  local each=$1
  shift
  redis-benchmark -h 127.0.0.1 -p "$REDIS_PORT" -n $((COUNT / each)) -c 2 -P "$((32 / each))" -q "$@" |
    grep -oE '[0-9.]+ requests per second' | awk -v each="$each" 'END {print $1 * each}'
}

line="$id worker=echo.aaaaaaaaaaaaaaaa,attempt=1,run=0.02 {\"ok\":true,\"result\":{\"id\":1,\"name\":\"Oska\",\"email\":\"oska@example.com\"}}"
lines=$(for _ in {1..32}; do echo "$line"; done)
added=$(rate 1 XADD "$mailbox" '*' v 1 id "$id" action GET_ECHO args '[1]' reply 'mailroom:replies:api.aaaaaaaaaaaaaaaa:{echo}' \
  deadline 1900000000000 meta '')
read=$(rate 32 XREADGROUP GROUP workers echo.aaaaaaaaaaaaaaaa COUNT 32 STREAMS "$mailbox" '>')
published=$(rate 32 PUBLISH 'mailroom:replies:api.aaaaaaaaaaaaaaaa:{echo}' "$lines")
stop_all
awk -v a="$added" -v r="$read" -v p="$published" 'BEGIN {
  printf "XADD: %d/s\nXREADGROUP, 32 at once: %d/s\nPUBLISH, 32 lines at once: %d/s\n", a, r, p
  printf "one after the other: %d/s\n", 1 / (1 / a + 1 / r + 1 / p)}'
