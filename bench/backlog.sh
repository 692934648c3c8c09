#!/usr/bin/env bash
# bench/backlog.sh: measures the effect of a long mailbox, and the memory that finished requests leave. All on loopback.
#   1. The rate of enqueueing (pipelined XADD of safe requests) with an empty mailbox and with ENTRIES waiting requests;
#      the rate at which one worker drains SMALL and ENTRIES waiting requests.
#   2. FINISHED safe requests through a gateway: the memory of Redis afterwards, the resident memory of gateway and worker
#      meanwhile, and the bytes to and from Redis per request.
# Environment: ENTRIES (1000000), SMALL (100000), FINISHED (1000000), CONNECTIONS (256), ROUNDS (3), PORT, REDIS_PORT.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${ENTRIES:=1000000}" "${SMALL:=100000}" "${FINISHED:=1000000}" "${CONNECTIONS:=256}" "${ROUNDS:=3}"
for name in ENTRIES SMALL FINISHED CONNECTIONS ROUNDS; do number "$name"; done
need redis-server redis-cli redis-benchmark wrk curl go
build
MAILBOX='mailroom:{echo}:requests'

now() { date +%s%N; }

# rate COUNT SINCE: prints COUNT per second since the time SINCE of now.
rate() { awk -v n="$1" -v a="$2" -v b="$(now)" 'BEGIN {printf "%.0f", n / (b - a) * 1e9}'; }

# enqueue COUNT: adds requests as the gateway's writer does, 64 per pipeline; sets RATE. No process subscribes to the
# channel of the replies.
enqueue() {
  local began
  began=$(now)
  redis-benchmark -h 127.0.0.1 -p "$REDIS_PORT" -q -c 2 -P 64 -n "$1" XADD "$MAILBOX" '*' v 1 \
    id 0190a5b4-7c3e-7d52-9f3e-0123456789ab action GET_ECHO args '[1]' reply 'mailroom:replies:api.bench:{echo}' \
    deadline '' meta '' >/dev/null
  RATE=$(rate "$1" "$began")
}

empty() { [ "$(redis XLEN "$MAILBOX")" = 0 ]; }

# drain COUNT: lets one worker drain the mailbox, timed from its first read; sets RATE.
drain() {
  local began
  start_worker 0
  within 10 "the worker has joined" joined
  began=$(now)
  local left
  left=$(redis XLEN "$MAILBOX")
  within 300 "the mailbox is empty" empty
  RATE=$(rate "$left" "$began")
  stop "$STARTED"
}

joined() { [ "$(redis XLEN "$MAILBOX")" -lt "$COUNT" ]; }

echo "# $ROUNDS rounds, $(nproc) CPUs; entries per second"
printf '%-6s %14s %14s %14s %14s\n' round 'enqueue empty' 'enqueue long' 'drain short' 'drain long'
: >"$TMP/backlog"
for ((round = 1; round <= ROUNDS; round++)); do
  start_redis
  enqueue "$SMALL" && enqueue_empty=$RATE
  COUNT=$SMALL
  drain && drain_short=$RATE
  enqueue "$ENTRIES"
  enqueue "$SMALL" && enqueue_long=$RATE
  COUNT=$((ENTRIES + SMALL))
  drain && drain_long=$RATE
  stop_all
  echo "$enqueue_empty $enqueue_long $drain_short $drain_long" >>"$TMP/backlog"
  printf '%-6s %14s %14s %14s %14s\n' "$round" "$enqueue_empty" "$enqueue_long" "$drain_short" "$drain_long"
done
awk '{print $2 / $1}' "$TMP/backlog" | median | awk '{printf "enqueue, long against empty: %.2f (reach: at least 0.9)\n", $1}'
awk '{print $4 / $3}' "$TMP/backlog" | median | awk '{printf "drain, long against short:   %.2f (reach: at least 0.9)\n", $1}'

echo
echo "# $FINISHED finished safe requests at $CONNECTIONS connections"
start_redis
start_worker 0
WORKER=$STARTED
start_gateway 0
GATEWAY=$STARTED
within 15 "the gateway serves /echo/1" served "$PORT"
load "$CONNECTIONS" 2 1 "$PORT" >/dev/null # connections, pools and buffers have their size
settle() {
  within 15 "the mailbox is empty" empty
  redis MEMORY PURGE >/dev/null
}
settle
before=$(info used_memory)
in=$(info total_net_input_bytes) out=$(info total_net_output_bytes)
printf '%10s %11s %11s %12s %9s\n' requests gateway_MB worker_MB redis_MB rps
row() {
  printf '%10d %11s %11s %12s %9s\n' "$done" "$(rss "$GATEWAY")" "$(rss "$WORKER")" \
    "$(info used_memory | awk '{printf "%.2f", $1 / 1048576}')" "$1"
}
done=0 bad=0
row -
while [ "$done" -lt "$FINISHED" ]; do
  load "$CONNECTIONS" 5 1 "$PORT" >"$TMP/row"
  read -r rps n _ _ status sockets <"$TMP/row"
  [ "$n" -gt 0 ] || die "no request was answered"
  done=$((done + n)) bad=$((bad + status + sockets))
  row "$rps"
done
settle
after=$(info used_memory)
awk -v a="$before" -v b="$after" -v n="$done" -v bad="$bad" -v i="$(($(info total_net_input_bytes) - in))" \
  -v o="$(($(info total_net_output_bytes) - out))" 'BEGIN {
  printf "Redis memory, after - before: %+.2f MB (reach: at most 5)\n", (b - a) / 1048576
  printf "bytes to and from Redis per request, heartbeats included: %.0f in, %.0f out\n", i / n, o / n
  printf "answers other than 2xx, and socket errors: %d\n", bad}'
printf 'resident memory: gateway %s MB (reach: at most 80), worker %s MB (at most 60)\n' "$(rss "$GATEWAY")" "$(rss "$WORKER")"
