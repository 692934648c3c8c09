#!/usr/bin/env bash
# bench/rates.sh: compares the latency of Mailroom and of the peer nats below their peak: GET of one record at a fixed rate
# (open loop), in turn. The rates are shares of the peak of the slower one. Environment:
#   PEERS   the peers' directory (../shared/peers)      SHARES  percent of the peak (30 60 90)
#   ROUNDS  rounds (3)        SECS  seconds per measurement (5)       CONNECTIONS  connections (64)
export PORT=${PORT:-7600} REDIS_PORT=${REDIS_PORT:-7690}
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${PEERS:=../shared/peers}" "${SHARES:=30 60 90}" "${ROUNDS:=3}" "${SECS:=5}" "${CONNECTIONS:=64}"
number ROUNDS
number SECS
number CONNECTIONS
[[ $SHARES =~ ^[1-9][0-9]?(\ [1-9][0-9]?)*$ ]] || die "SHARES=$SHARES: want numbers below 100 with spaces between them"
need go curl redis-server nats-server python3
copy_peers mailroom nats
build
export MAILROOM=$BIN
rows=$TMP/rates.tsv
: >"$rows"

child=
finish() {
  if [ -n "$child" ] && kill -TERM "$child" 2>/dev/null; then wait "$child" 2>/dev/null || true; fi
}
trap finish EXIT

# field NAME…: prints numbers of the JSON of mailroom bench, each after a tab.
field() { python3 -c '
import json, sys
found = json.load(sys.stdin)
found.update(found["latency_ms"])
print("\t".join(str(found[name]) for name in sys.argv[1:]))' "$@"; }

measure() (
  # shellcheck source=/dev/null
  . "$copy/lib.sh" # it goes to its own directory, and ends what it starts
  set +e +u
  bench() { "$BIN" bench "$URL/$ROUTE/1" --json --connections "$CONNECTIONS" --duration "${SECS}s" "$@" 2>/dev/null; }
  peak=
  for name in mailroom nats; do
    start_peer "$name"
    this=$(bench --warmup 3s | field rate) || die "$name: measured no peak"
    stop_all
    peak=$(awk -v a="${peak:-1e9}" -v b="$this" 'BEGIN {print (a < b ? a : b)}')
  done
  for ((round = 1; round <= ROUNDS; round++)); do
    for share in $SHARES; do
      rate=$(awk -v p="$peak" -v s="$share" 'BEGIN {printf "%d", p * s / 100}')
      for name in mailroom nats; do
        start_peer "$name"
        row=$(bench --rate "$rate" | field rate p50 p99 p99_9 failed) || die "$name: no result at $rate requests/s"
        stop_all
        printf '%s\t%s\t%s\t%s\n' "$name" "$share" "$rate" "$row" >>"$rows"
      done
    done
  done
)
measure &
child=$!
wait "$child" || die "the run failed"
child=

awk -F'\t' '
  function middle(list,   v, n, i, j, t) {
    n = split(list, v, " ")
    for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return v[int((n + 1) / 2)]
  }
  function ratio(column,   a, b, n, i, list) {
    n = split(value["mailroom", share, column], a, " "); split(value["nats", share, column], b, " ")
    for (i = 1; i <= n; i++) list = list " " (b[i] > 0 ? a[i] / b[i] : 0)
    return middle(list)
  }
  { rate[$2] = $3; failed += $8; if (!($2 in seen)) { seen[$2]; shares[++count] = $2 }
    for (i = 5; i <= 7; i++) value[$1, $2, i] = value[$1, $2, i] " " $i }
  END {
    printf "%-6s %8s  %-9s %8s %8s %8s\n", "share", "rate/s", "", "p50_ms", "p99_ms", "p99.9_ms"
    for (s = 1; s <= count; s++) { share = shares[s]
      printf "%-6s %8d  %-9s %8.2f %8.2f %8.2f\n", share "%", rate[share], "mailroom", middle(value["mailroom", share, 5]), middle(value["mailroom", share, 6]), middle(value["mailroom", share, 7])
      printf "%-6s %8s  %-9s %8.2f %8.2f %8.2f\n", "", "", "nats", middle(value["nats", share, 5]), middle(value["nats", share, 6]), middle(value["nats", share, 7])
      printf "%-6s %8s  %-9s %8.2f %8.2f %8.2f\n", "", "", "ratio", ratio(5), ratio(6), ratio(7) }
    printf "\nratios are medians of the rounds; failed requests: %d\n", failed
  }' "$rows"
