#!/usr/bin/env bash
# bench/versus.sh OLD [NEW]: two binaries of Mailroom in turn, in one run, each from fresh processes (gateway, Redis,
# worker): GET and POST of the echo service. Prints medians of the ratios new / old by round: requests a second, p99,
# CPU microseconds per request of all three processes. NEW is built from this checkout unless it is given.
#
# By environment: CONNS (1,64,256), METHODS (GET,POST), ROUNDS (5), SECS (3)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${CONNS:=1,64,256}" "${METHODS:=GET,POST}" "${ROUNDS:=5}" "${SECS:=3}"
number ROUNDS
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
ticks() { cat "/proc/$gateway/stat" "/proc/$worker/stat" "/proc/$REDIS/stat" | sed 's/.*) //' | awk '{n += $12 + $13} END {print n}'; }

# measure NAME BINARY METHOD CONNECTIONS ROUND
measure() {
  local name=$1 connections=$4 before after result words
  BIN=$2
  read -ra words <<<"$(worker_command "$BIN")"
  start_redis
  start_gateway 0
  gateway=$STARTED
  start worker "$BIN" "${words[@]}" echo --redis "$REDIS_URL"
  worker=$STARTED
  within 20 "the gateway serves" served "$PORT"
  ROUTE=/echo/1 BODY=
  if [ "$3" = POST ]; then ROUTE=/echo BODY='{"id":1,"name":"Oska","email":"oska@example.com"}'; fi
  export ROUTE BODY
  load "$connections" 1 1 "$PORT" >/dev/null
  before=$(ticks)
  result=$(load "$connections" "$SECS" 1 "$PORT")
  after=$(ticks)
  stop_all
  # shellcheck disable=SC2086
  set -- "$3" $result
  [ "$6" = 0 ] && [ "$7" = 0 ] || die "$name: $6 answers were no success, $7 sockets failed"
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$connections" "$name" "$round" "$2" "$5" \
    "$(awk -v d=$((after - before)) -v hz="$hz" -v n="$3" 'BEGIN {print d / hz * 1e6 / n}')" >>"$rows"
}

for ((round = 1; round <= ROUNDS; round++)); do
  for method in ${METHODS//,/ }; do
    for connections in ${CONNS//,/ }; do
      order="old new"
      [ $((round % 2)) = 1 ] || order="new old"
      for name in $order; do
        measure "$name" "${!name}" "$method" "$connections"
      done
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
    print "method\tconnections\trequests/s\tp99\tCPU\t(new / old, medians of " r " rounds)"
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
