#!/usr/bin/env bash
# bench/languages.sh: a Node worker under `mailroom serve` (child) and one on the gateway's WebSocket (remote) beside the
# Go worker (echo), at 64 connections; and 64 requests in flight on one WebSocket (client) beside these connections. In
# turn, in one run. Needs clients/node built: (cd clients/node && npm ci && npm run build). Environment: ROUNDS (7),
# SECS (3), PORT, REDIS_PORT.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${ROUNDS:=7}" "${SECS:=3}"
number ROUNDS
number SECS
need redis-server redis-cli curl go node
[ -f clients/node/dist/index.js ] || die "clients/node is not built: (cd clients/node && npm ci && npm run build)"
build

url=http://127.0.0.1:$PORT
start_redis
start_gateway 0
start_worker 0
start child "$BIN" serve --redis "$REDIS_URL" -- node bench/languages.mjs child
within 15 "the gateway listens" served "$PORT"
start remote env MAILROOM_URL="$url" node bench/languages.mjs remote
answers() { curl -sf -o /dev/null -m 5 "$url/$1/1"; }
for service in child remote; do within 15 "$service is served" answers "$service"; done

# rate ARG…: prints the requests per second of mailroom bench.
rate() {
  "$BIN" bench "$@" --duration "${SECS}s" --warmup 500ms 2>/dev/null | awk '/ answered/ {gsub(/[,\/s]/, "", $3); print $3}'
}

echo "# $SECS s after a warm-up of 0.5 s, $ROUNDS rounds, $(nproc) CPUs"
printf '%-6s %8s %8s %8s %8s\n' round echo child remote client
: >"$TMP/languages"
for ((round = 1; round <= ROUNDS; round++)); do
  echo "$(rate "$url/echo/1") $(rate "$url/child/1") $(rate "$url/remote/1")" \
    "$(rate "ws://127.0.0.1:$PORT/socket" --service echo --action GET_ECHO --arg 1)" >>"$TMP/languages"
  tail -n 1 "$TMP/languages" | awk -v r="$round" '{printf "%-6s %8d %8d %8d %8d\n", r, $1, $2, $3, $4}'
done
printf '%-6s %8s' median "$(awk '{print $1}' "$TMP/languages" | median)"
for column in 2 3 4; do printf ' %8s' "$(awk -v c=$column '{print $c}' "$TMP/languages" | median)"; done
printf '\n%-6s %8s' "/ echo" ""
for column in 2 3 4; do printf ' %8.2f' "$(awk -v c=$column '{print $c / $1}' "$TMP/languages" | median)"; done
printf '\n'
