#!/usr/bin/env bash
# bench/composition.sh: compares the median latency of a composition of one safe step with that of the step's own route, in
# turn. All on loopback. Environment: ROUNDS (5), SECS (3), CONNECTIONS (64), PORT, REDIS_PORT.
export PORT=${PORT:-7650} REDIS_PORT=${REDIS_PORT:-7695}
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${ROUNDS:=5}" "${SECS:=3}" "${CONNECTIONS:=64}"
number ROUNDS
number SECS
number CONNECTIONS
need redis-server redis-cli wrk curl go
build
cat >"$TMP/versions.yaml" <<'END'
versions:
  v1:
    routes:
      GET /echo/:id: {path: {id: {type: integer}}, steps: [{call: echo GET_ECHO, args: [path.id]}]}
END
rows=$TMP/composition
: >"$rows"
start_redis
start_worker 0
start_gateway 0 --versions "$TMP/versions.yaml"
within 15 "the gateway serves /echo/1" served "$PORT"
for path in /echo/1 /v1/echo/1; do ROUTE=$path load "$CONNECTIONS" 1 1 "$PORT" >/dev/null; done
for ((round = 1; round <= ROUNDS; round++)); do
  for connections in 1 "$CONNECTIONS"; do
    direct=$(ROUTE=/echo/1 load "$connections" "$SECS" 1 "$PORT")
    composed=$(ROUTE=/v1/echo/1 load "$connections" "$SECS" 1 "$PORT")
    echo "$connections $direct $composed" | awk '{printf "%d %.3f\n", $1, $10 / $4}' >>"$rows"
  done
done
echo "# $SECS s each, $ROUNDS rounds, $(nproc) CPUs: p50 of a composition of one step against the step's own route"
for connections in 1 "$CONNECTIONS"; do
  awk -v c="$connections" '$1 == c {print $2}' "$rows" | sort -g |
    awk -v c="$connections" '{v[NR] = $1} END {printf "%d connections: %.2f (%.2f to %.2f; reach: at most 1.10)\n", c, v[int(NR / 2) + 1], v[1], v[NR]}'
done
