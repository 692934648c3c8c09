# Functions of all scripts in this folder: they build the binary, start processes on loopback, end them by pid, and read
# counters of the kernel and of Redis. Source it. It changes to the top directory of the checkout.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TMP=$PWD/.tmp/bench
BIN=$PWD/.tmp/bin/mailroom
: "${REDIS_PORT:=7790}" "${PORT:=7700}" # gateways take PORT, PORT + 1 and PORT + 2
REDIS_URL=redis://127.0.0.1:$REDIS_PORT
PIDS=()

die() {
  echo "bench: $*" >&2
  exit 1
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "needs $tool in PATH"
  done
}

# number NAME: ends the script unless the variable is a whole number above 0.
number() { [[ ${!1} =~ ^[1-9][0-9]*$ ]] || die "$1=${!1}: want a whole number above 0"; }

# start NAME COMMAND…: runs a command in the background; its pid is in $STARTED.
start() {
  local name=$1
  shift
  "$@" >"$TMP/$name.log" 2>&1 </dev/null &
  STARTED=$!
  PIDS+=("$STARTED")
}

# stop PID…: ends processes of start, and waits for them.
stop() {
  local pid kept=() other
  for pid in "$@"; do kill "$pid" 2>/dev/null || true; done
  for pid in "$@"; do
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    kept=()
    for other in "${PIDS[@]}"; do [ "$other" = "$pid" ] || kept+=("$other"); done
    PIDS=("${kept[@]}")
  done
}

stop_all() {
  local all=("${PIDS[@]}")
  [ ${#all[@]} -eq 0 ] || stop "${all[@]}"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# within SECONDS WHAT COMMAND…: repeats a command until it succeeds; after SECONDS it ends the script.
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || die "$what did not happen in time; see $TMP/*.log"
    sleep 0.05
  done
}

build() {
  mkdir -p "$TMP" "${BIN%/*}"
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$BIN" .
}

redis() { redis-cli -h 127.0.0.1 -p "$REDIS_PORT" --raw "$@"; }

redis_answers() { [ "$(redis PING 2>/dev/null)" = PONG ]; }

start_redis() {
  port_free "$REDIS_PORT" || die "port $REDIS_PORT is in use (REDIS_PORT)"
  start redis redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' --appendonly no \
    --maxmemory-policy noeviction --dir "$TMP"
  REDIS=$STARTED
  within 10 "redis-server answers" redis_answers
}

# start_gateway N: starts gateway N, counted from 0.
start_gateway() {
  local port=$((PORT + $1))
  shift
  port_free "$port" || die "port $port is in use (PORT)"
  start "gateway-$port" env MAILROOM_AUTH=none "$BIN" api --redis "$REDIS_URL" --listen "127.0.0.1:$port" "$@"
}

start_worker() {
  start "worker-$1" "$BIN" demo worker echo --redis "$REDIS_URL"
}

served() { [ "$(curl -s -o /dev/null -m 5 -w '%{http_code}' "http://127.0.0.1:$1/echo/1")" = 200 ]; }

# info FIELD: prints one value of INFO.
info() { redis INFO | tr -d '\r' | awk -F: -v name="$1" '$1 == name {print $2}'; }

# rss PID: prints the resident memory in MB.
rss() { awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$1/status"; }

# load CONNECTIONS SECONDS THREADS PORT…: runs wrk; each thread loads one port. Prints requests/s, requests, p50 and p99
# in microseconds, answers other than 2xx and 3xx, socket errors.
load() {
  local connections=$1 seconds=$2 threads=$3
  shift 3
  PORTS="$*" wrk "-t$threads" "-c$connections" "-d${seconds}s" --timeout 10s -s bench/wrk.lua \
    "http://127.0.0.1:$1${ROUTE:-/echo/1}" | awk '/^RESULT/ {print $2, $3, $4, $5, $6, $7; found = 1} END {exit !found}' ||
    die "wrk printed no result"
}

# median: prints the median of the numbers on standard input; of an even count, the upper of the two in the middle.
median() { sort -g | awk '{v[NR] = $1} END {if (NR) print v[int(NR / 2) + 1]}'; }

# copy_peers NAME…: copies the directory of the peers to $copy, and builds them there. Their script installs npm packages
# unless their folder exists; an empty folder prevents that.
copy_peers() {
  local name with_node=
  [ -f "$PEERS/run" ] && [ -f "$PEERS/lib.sh" ] ||
    die "no peers in $PEERS: set PEERS to the directory with the script run of the peers. Without peers, \`mailroom bench\`, bench/fleet.sh and bench/backlog.sh still measure Mailroom alone"
  copy=$PWD/.tmp/peers
  mkdir -p "$copy"
  chmod -R u+w "$copy"
  cp -R "$PEERS/." "$copy/"
  chmod -R u+w "$copy"
  for name in "$@"; do
    case $name in moleculer* | nest* | bullmq*) with_node=1 ;; esac
  done
  if [ -n "$with_node" ]; then
    need node npm
    [ ! -d "$copy/node/node_modules" ] || [ -n "$(ls -A "$copy/node/node_modules")" ] || rmdir "$copy/node/node_modules"
  else
    mkdir -p "$copy/node/node_modules"
  fi
  (cd "$copy/go" && go build -o ../bin/peers .) || die "the peers do not build"
}
