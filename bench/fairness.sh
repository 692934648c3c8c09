#!/usr/bin/env bash
# bench/fairness.sh: one noisy tenant in a thousand. The quiet ones send RATE requests a second together, on a fixed
# schedule, with and without the noisy one, which has NOISY connections that each send the next request after an answer.
# All call an action that takes MS milliseconds. Prints the p99 of the quiet ones and the medians of the ratios of pairs.
#
# By environment: TENANTS (999), RATE (300), NOISY (512), MS (5), SECS (8), ROUNDS (5), PORT, REDIS_PORT; GATEWAY: more
# flags of the gateway. OLD: another binary, measured in turn with the one of this checkout.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${TENANTS:=999}" "${RATE:=300}" "${NOISY:=512}" "${MS:=5}" "${SECS:=8}" "${ROUNDS:=5}" "${GATEWAY:=}" "${OLD:=}"
for name in TENANTS RATE NOISY MS SECS ROUNDS; do number "$name"; done
need redis-server redis-cli curl
build
new=$BIN
export MAILROOM_LOG_LEVEL=warn

keys() { # keys COUNT FILE
  seq "$1" | xargs -P "$(nproc)" -I{} "$new" keys create --name "tenant {}" --redis "$REDIS_URL" 2>/dev/null | grep -o 'mk_[A-Za-z0-9_-]*' >"$2"
  [ "$(wc -l <"$2")" -eq "$1" ] || die "made $(wc -l <"$2") keys of $1"
}

# send KEYS FLAG…: prints p99 in ms, the number of failures and the requests a second.
send() {
  local keys=$1
  shift
  "$new" bench --json --keys "$keys" --body "{\"ms\":$MS}" --duration "${SECS}s" --warmup 2s "$@" \
    "http://127.0.0.1:$PORT/echo/sleep" 2>"$TMP/send.log" |
    python3 -c 'import json,sys; r=json.load(sys.stdin); print(r["latency_ms"]["p99"], r["failed"], r["rate"])'
}

# round NAME BINARY: one pair of loads on fresh processes.
round() {
  local quiet loud noisy
  BIN=$2
  start_redis
  [ -s "$TMP/keys.rdb" ] || keys "$TENANTS" "$TMP/quiet.keys"
  [ -s "$TMP/keys.rdb" ] || keys 1 "$TMP/noisy.keys"
  [ -s "$TMP/keys.rdb" ] || redis HGETALL mailroom:keys >"$TMP/keys.rdb"
  [ "$(redis HLEN mailroom:keys)" -gt 0 ] || xargs -d '\n' -n 200 redis-cli -p "$REDIS_PORT" HSET mailroom:keys <"$TMP/keys.rdb" >/dev/null
  # shellcheck disable=SC2086
  start gateway env MAILROOM_AUTH=required MAILROOM_OPS_LISTEN=off "$BIN" api --redis "$REDIS_URL" --listen "127.0.0.1:$PORT" $GATEWAY
  start_worker 0
  within 15 "the gateway is ready" sh -c "curl -sf -o /dev/null -H 'X-API-Key: $(cat "$TMP/noisy.keys")' http://127.0.0.1:$PORT/echo/1"
  quiet=$(send "$TMP/quiet.keys" --connections 256 --rate "$RATE")
  send "$TMP/noisy.keys" --connections "$NOISY" --duration "$((SECS + 3))s" >"$TMP/noisy.row" &
  noisy=$!
  sleep 1
  loud=$(send "$TMP/quiet.keys" --connections 256 --rate "$RATE")
  wait "$noisy"
  echo "$1 $quiet $loud $(cat "$TMP/noisy.row")" | tee -a "$TMP/fairness" |
    awk '{printf "%-5s quiet p99 %7.2f ms, failed %d | with the noisy one p99 %7.2f ms, failed %d | the noisy one %6d/s, failed %d\n", $1, $2, $3, $5, $6, $10, $9}'
  stop_all
}

rm -f "$TMP/fairness" "$TMP/keys.rdb"
echo "# $TENANTS tenants with $RATE requests/s of ${MS} ms together, one with $NOISY connections, $SECS s, $(nproc) CPUs"
for ((i = 0; i < ROUNDS; i++)); do
  round new "$new"
  [ -z "$OLD" ] || round old "$OLD"
done
for name in new ${OLD:+old}; do
  awk -v n="$name" '$1 == n {print $5 / $2}' "$TMP/fairness" | median |
    awk -v n="$name" '{printf "%s: p99 of the quiet ones with the noisy one / without: %.2f (median; reach: at most 1.2)\n", n, $1}'
done
