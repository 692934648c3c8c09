#!/usr/bin/env bash
# bench/versus.sh OLD [NEW]: two binaries of Mailroom in turn, in one run: GET and POST of the echo service. In each round
# both have fresh processes (gateway, Redis, worker), which take short loads in turn, so that a change of the machine
# meets both. Prints medians of the ratios new / old of all pairs of loads: requests a second, p99, CPU microseconds per
# request of all three processes. NEW is built from this checkout unless it is given.
#
# By environment: CONNS (1,64,256), METHODS (GET,POST), ROUNDS (5), PAIRS of loads in a round (6), SECS of a load (1)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${CONNS:=1,64,256}" "${METHODS:=GET,POST}" "${ROUNDS:=5}" "${PAIRS:=6}" "${SECS:=1}"
number ROUNDS
number PAIRS
number SECS
need wrk curl redis-server redis-cli
[ -x "${1:-}" ] || die "usage: bench/versus.sh OLD [NEW]: OLD is a binary"
old=$(realpath "$1")
if [ -n "${2:-}" ]; then
  new=$(realpath "$2")
  mkdir -p "$TMP"
else
  build
  new=$BIN
fi
rows=$TMP/versus.tsv
: >"$rows"
hz=$(getconf CLK_TCK)
worker_command() { if "$1" demo --help >/dev/null 2>&1; then echo demo worker; else echo worker; fi; }

# start_stack NAME BINARY FIRST-PORT: starts Redis, a gateway and a worker; their pids are in $pids_NAME.
start_stack() {
  local words gateway
  BIN=$2 REDIS_PORT=$3 PORT=$(($3 + 1))
  REDIS_URL=redis://127.0.0.1:$REDIS_PORT
  read -ra words <<<"$(worker_command "$BIN")"
  start_redis
  start_gateway 0
  gateway=$STARTED
  start "worker-$1" "$BIN" "${words[@]}" echo --redis "$REDIS_URL"
  declare -g "port_$1=$PORT" "pids_$1=$REDIS $gateway $STARTED"
  within 20 "the gateway serves" served "$PORT"
}

# ticks PID…: prints the CPU time that the processes have used, in ticks of the kernel.
ticks() {
  local pid
  for pid in "$@"; do cat "/proc/$pid/stat"; done | sed 's/.*) //' | awk '{n += $12 + $13} END {print n}'
}

# measure NAME METHOD CONNECTIONS PAIR: loads one stack for SECS, and adds a row.
measure() {
  local name=$1 method=$2 connections=$3 pair=$4 pids="pids_$1" port="port_$1" before after result
  # shellcheck disable=SC2086
  before=$(ticks ${!pids})
  result=$(load "$connections" "$SECS" 1 "${!port}")
  # shellcheck disable=SC2086
  after=$(ticks ${!pids})
  # shellcheck disable=SC2086
  set -- $result
  [ "$5" = 0 ] && [ "$6" = 0 ] || die "$name: $5 answers were no success, $6 sockets failed"
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$method" "$connections" "$name" "$pair" "$1" "$4" \
    "$(awk -v d=$((after - before)) -v hz="$hz" -v n="$2" 'BEGIN {print d / hz * 1e6 / n}')" >>"$rows"
}

first=$REDIS_PORT
for ((round = 0; round < ROUNDS; round++)); do
  for method in ${METHODS//,/ }; do
    ROUTE=/echo/1 BODY=
    if [ "$method" = POST ]; then ROUTE=/echo BODY='{"id":1,"name":"Oska","email":"oska@example.com"}'; fi
    export ROUTE BODY
    for connections in ${CONNS//,/ }; do
      start_stack old "$old" "$first"
      start_stack new "$new" $((first + 2))
      for name in old new; do
        port=port_$name
        load "$connections" 1 1 "${!port}" >/dev/null
      done
      for ((pair = 0; pair < PAIRS; pair++)); do
        order="old new"
        [ $((pair % 2)) = 0 ] || order="new old"
        for name in $order; do measure "$name" "$method" "$connections" $((round * PAIRS + pair + 1)); done
      done
      stop_all
    done
  done
done
awk -F'\t' '
  function middle(list,   v, n, i, j, t) {
    n = split(list, v, " ")
    for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return v[int((n + 1) / 2)]
  }
  { key = $1 "\t" $2; if (!(key in seen)) { seen[key]; keys[++k] = key }; for (i = 5; i <= 7; i++) x[key, $3, $4, i] = $i; if ($4 > r) r = $4 }
  END {
    print "method\tconnections\trequests/s\tp99\tCPU\t(new / old, medians of " r " pairs)"
    for (i = 1; i <= k; i++) {
      line = keys[i]
      for (f = 5; f <= 7; f++) {
        list = ""
        for (n = 1; n <= r; n++) if (x[keys[i], "old", n, f] > 0) list = list " " x[keys[i], "new", n, f] / x[keys[i], "old", n, f]
        line = line sprintf("\t%.3f", middle(list))
      }
      print line
    }
  }' "$rows"
