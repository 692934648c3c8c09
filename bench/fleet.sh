#!/usr/bin/env bash
# bench/fleet.sh: compares 3 gateways and 3 workers with 1 and 1 on the same cores, under the same load, in turn. All on
# loopback. Environment: CONNECTIONS (256), SECS (5), ROUNDS (3), PORT, REDIS_PORT.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${CONNECTIONS:=256}" "${SECS:=5}" "${ROUNDS:=3}"
number CONNECTIONS
number SECS
number ROUNDS
[ "$CONNECTIONS" -ge 3 ] || die "CONNECTIONS=$CONNECTIONS: want at least 3, one for each gateway"
need redis-server redis-cli wrk curl go
build

# measure PROCESSES: runs wrk against that number of gateways and workers; the results are in $TMP/row.
measure() {
  local i ports=()
  start_redis
  for ((i = 0; i < $1; i++)); do start_worker "$i"; done
  for ((i = 0; i < $1; i++)); do
    start_gateway "$i"
    ports+=($((PORT + i)))
  done
  for i in "${ports[@]}"; do within 15 "the gateway on port $i serves /echo/1" served "$i"; done
  # three threads in both cases, so that the load costs the same
  load "$CONNECTIONS" 2 3 "${ports[@]}" >/dev/null
  load "$CONNECTIONS" "$SECS" 3 "${ports[@]}" >"$TMP/row"
  stop_all
}

echo "# $((CONNECTIONS / 3 * 3)) connections, $SECS s after a warm-up of 2 s, $ROUNDS rounds, $(nproc) CPUs"
printf '%-6s %-10s %9s %8s %8s %8s %8s\n' round processes rps p50_ms p99_ms non-2xx sockerr
: >"$TMP/fleet"
for ((round = 1; round <= ROUNDS; round++)); do
  for n in 1 3; do
    measure "$n"
    read -r rps _ p50 p99 status sockets <"$TMP/row"
    echo "$n $rps $p50 $p99" >>"$TMP/fleet"
    awk -v r="$round" -v n="$n+$n" -v rps="$rps" -v p50="$p50" -v p99="$p99" -v st="$status" -v so="$sockets" \
      'BEGIN {printf "%-6s %-10s %9d %8.2f %8.2f %8d %8d\n", r, n, rps, p50 / 1e3, p99 / 1e3, st, so}'
  done
done
one=$(awk '$1 == 1 {print $2}' "$TMP/fleet" | median)
three=$(awk '$1 == 3 {print $2}' "$TMP/fleet" | median)
paired=$(awk '$1 == 1 {a = $2} $1 == 3 {print $2 / a}' "$TMP/fleet" | median)
awk -v a="$one" -v b="$three" -v p="$paired" 'BEGIN {
  printf "\n3+3 against 1+1, requests/s: %.2f (median of the rounds; of medians %.2f; reach: at least 0.85)\n", p, b / a}'
