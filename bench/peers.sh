#!/usr/bin/env bash
# bench/peers.sh (make bench-peers): compares Mailroom with alternatives, the peers, in one run, and prints the ratios. The
# peers are a directory with a script `run`, described in their README. The script copies them to .tmp/peers, and builds
# and starts them there.
#
# Environment:
#   PEERS   the peers' directory (../shared/peers)
#   NAMES   the peers to run: mailroom and others ("mailroom nats http"; also bullmq, watermill, asynq, grpc …)
#   CONNS   connections, with commas (1,64,256)      ROUNDS  rounds (5)      SECS  seconds per measurement (3)
#   POST    connections at which POST /echo of Mailroom is measured against the GET of the peer nats (64,256; "" = not)
#   PORT, WORKER_PORT, REDIS_PORT, NATS_PORT  as the peers' README says
export PORT=${PORT:-7600} REDIS_PORT=${REDIS_PORT:-7690}
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${PEERS:=../shared/peers}" "${NAMES:=mailroom nats http}" "${CONNS:=1,64,256}" "${ROUNDS:=5}" "${SECS:=3}" "${POST=64,256}"
number ROUNDS
number SECS
[[ $CONNS =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || die "CONNS=$CONNS: want numbers with commas between them"
[[ $POST =~ ^([1-9][0-9]*(,[1-9][0-9]*)*)?$ ]] || die "POST=$POST: want numbers with commas between them, or nothing"
read -ra names <<<"$NAMES"
[[ " $NAMES " == *" mailroom "* ]] || die "NAMES=$NAMES: mailroom must be among them"
need go wrk curl redis-server
[[ " $NAMES ${POST:+nats} " != *" nats"* ]] || need nats-server

copy_peers "${names[@]}"
build
export MAILROOM=$BIN
rows=$TMP/peers.tsv posts=$TMP/post.tsv
: >"$posts"

child=
finish() {
  # On SIGTERM, the peers end the processes that they started, by pid.
  if [ -n "$child" ] && kill -TERM "$child" 2>/dev/null; then wait "$child" 2>/dev/null || true; fi
}
trap finish EXIT

# attend COMMAND…: runs a command in the background, so that finish can end it after Ctrl-C.
attend() {
  "$@" &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

attend bash "$copy/run" "${names[@]}" -c "$CONNS" -n "$ROUNDS" -d "$SECS" -o "$rows" || die "the peers' run failed"

# post_rounds: measures POST /echo of Mailroom (unsafe) and GET of the peer nats, in turn, each with new processes. Adds
# rows of: name, connections, requests/s, p50 and p99 in µs, CPU time of all processes in µs per request, failures.
post_rounds() (
  ours=$PWD
  # shellcheck source=/dev/null
  . "$copy/lib.sh" # it goes to its own directory, and ends what it starts
  set +e +u
  hz=$(getconf CLK_TCK)
  ticks() { cat "/proc/$GW/stat" "/proc/$BR/stat" "/proc/$WK/stat" | sed 's/.*) //' | awk '{n += $12 + $13} END {print n}'; }
  for ((round = 1; round <= ROUNDS; round++)); do
    for c in ${POST//,/ }; do
      for name in mailroom nats; do
        start_peer "$name"
        path=/$ROUTE/1 body=
        if [ "$name" = mailroom ]; then path=/echo body='{"id":1,"name":"Oska","email":"oska@example.com"}'; fi
        BODY=$body wrk -t1 "-c$c" -d2s --timeout 6s -s "$ours/bench/wrk.lua" "$URL$path" >/dev/null || die "$name: wrk failed"
        before=$(ticks)
        result=$(BODY=$body wrk -t1 "-c$c" "-d${SECS}s" --timeout 6s -s "$ours/bench/wrk.lua" "$URL$path" | grep '^RESULT') ||
          die "$name: wrk failed"
        after=$(ticks)
        check_body "$name (after the load)"
        stop_all
        echo "$result" | awk -v OFS='\t' -v n="$name" -v c="$c" -v d="$((after - before))" -v hz="$hz" \
          '{print n, c, $2, $4, $5, $3 ? d / hz * 1e6 / $3 : 0, $6 + $7}' >>"$posts"
      done
    done
  done
)
[ -z "$POST" ] || attend post_rounds || die "the run of POST failed"

# Ratios are computed per round, because the speed of a machine changes between rounds. Prints their median and range.
ratios() {
  awk -F'\t' -v posts="$posts" '
    function sorted(list, v,   n, i, j, t) {
      n = split(list, v, " ")
      for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
      return n
    }
    function middle(list,   v, n) { n = sorted(list, v); return v[int((n + 1) / 2)] }
    # line WHAT OURS THEIRS REACH STRETCH: prints the ratio of two lists in the order of the rounds; reach is "> 1" or "< 1"
    function line(what, ours, theirs, reach, stretch,   a, b, v, n, m, i, list, mid, verdict, want) {
      n = split(ours, a, " "); m = split(theirs, b, " ")
      if (!n || n != m) return
      for (i = 1; i <= n; i++) list = list " " (b[i] > 0 ? a[i] / b[i] : 0)
      sorted(list, v); mid = v[int((n + 1) / 2)]
      split(reach, want, " ")
      verdict = "-"
      if (reach != "-") verdict = (want[1] == "≥" ? mid >= want[2] : mid <= want[2]) ? "holds" : "short"
      printf "%-46s %7.2f  %5.2f – %5.2f  %8.2f  %-7s %-7s %s\n", what, mid, v[1], v[n], middle(ours) / middle(theirs), reach, stretch, verdict
    }
    FILENAME == posts { pr[$1, $2] = pr[$1, $2] " " $3; pc[$1, $2] = pc[$1, $2] " " $6; pn[$2]; bad += $7; next }
    { rps[$1, $2] = rps[$1, $2] " " $3; p50[$1, $2] = p50[$1, $2] " " $4; p99[$1, $2] = p99[$1, $2] " " $5
      cpu[$1, $2] = cpu[$1, $2] " " ($6 + ($7 == "-" ? 0 : $7) + ($8 == "-" ? 0 : $8))
      if (!($1 in peers)) { peers[$1]; name[++np] = $1 }
      if (!($2 in conns)) { conns[$2]; conn[++nc] = $2 }
      if ($1 == "mailroom") bad += $11 + $12 + $13 }
    END {
      printf "%-46s %7s  %13s  %8s  %-7s %-7s\n", "# mailroom against", "median", "least – most", "of medns", "reach", "stretch"
      for (i = 1; i <= np; i++) { p = name[i]; if (p == "mailroom") continue
        for (j = 1; j <= nc; j++) { c = conn[j]; at = " at " c
          r = "-"; s = "-"; q = "-"; t = "-"; u = "-"; w = "-"
          if (p == "nats" && c > 1) { r = "≥ 1.0"; s = "≥ 1.2"; q = "≤ 1.1"; t = "≤ 0.9" }
          if (p == "nats" && c == 1) { u = "≤ 1.25"; w = "≤ 1.0" }
          if (p == "http" && c > 1) { r = c < 256 ? "≥ 0.9" : "≥ 1.1"; s = "≥ 1.1" }
          if ((p == "bullmq" || p == "watermill") && c > 1) { r = "≥ 5"; s = "≥ 8" }
          line(p " requests/s" at, rps["mailroom", c], rps[p, c], r, s)
          line(p " p50" at, p50["mailroom", c], p50[p, c], u, w)
          line(p " p99" at, p99["mailroom", c], p99[p, c], q, t)
          line(p " CPU a request" at, cpu["mailroom", c], cpu[p, c], p == "nats" ? "≤ 1.0" : "-", "-")
        } }
      for (j = 1; j <= nc; j++) { c = conn[j]; if (c in pn) {
          line("nats GET, by POST: requests/s at " c, pr["mailroom", c], pr["nats", c], "≥ 0.7", "≥ 0.9")
          line("nats GET, by POST: CPU a request at " c, pc["mailroom", c], pc["nats", c], "-", "-")
          delete pn[c] } }
      for (c in pn) {
          line("nats GET, by POST: requests/s at " c, pr["mailroom", c], pr["nats", c], "≥ 0.7", "≥ 0.9")
          line("nats GET, by POST: CPU a request at " c, pc["mailroom", c], pc["nats", c], "-", "-") }
      printf "\nfailures of mailroom, and of the runs of POST: %d\n", bad
    }' "$posts" "$rows"
}

if [ -s "$posts" ]; then
  printf '\n# POST /echo of mailroom, GET of nats\n%-10s %6s %8s %8s %8s %8s %8s\n' peer conns rps p50_ms p99_ms cpu_us failures
  awk -F'\t' '{printf "%-10s %6d %8d %8.2f %8.2f %8.1f %8d\n", $1, $2, $3, $4 / 1e3, $5 / 1e3, $6, $7}' "$posts"
fi
echo
ratios
echo "rows: ${rows#"$PWD"/}, ${posts#"$PWD"/}"
