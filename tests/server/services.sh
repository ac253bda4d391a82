#!/usr/bin/env bash
# tests/server/services.sh - requests from one account to a service in another one, over shards and small mailboxes.
#
# Usage: [BENCH=build/myelin-bench] tests/server/services.sh SERVER_BINARY
#
# Starts the server on a free loopback port (with the words of MYELIN_FLAGS). Eight requesters in account A send requests
# to a queue group of four in account Z, through an import under another name; every request must be answered, while
# all of them are measured. The same for requests through a third account, and to a group of one, on one shard after the
# other, which most shards have to look for elsewhere. Then the server must end by itself, with exit code 0 (under a
# sanitizer: without a finding). Prints "N passed, N failed".
set -euo pipefail

readonly REQUESTS=20000
readonly WAIT_SECONDS=100

# shellcheck source=tests/server/server.sh
source "$(dirname "${BASH_SOURCE[0]}")/server.sh"

if (($# != 1)); then
    echo "usage: $0 SERVER_BINARY" >&2
    exit 2
fi
server_binary=$1
bench=${BENCH:-build/myelin-bench}
log=$(mktemp)
configuration=$(mktemp)
passed=0
failed=0
helpers=()
idle=()

clean_up() {
    local helper
    for helper in "${helpers[@]}" "${idle[@]}"; do
        kill "$helper" 2>/dev/null || true
    done
    server_stop
    rm -f "$log" "$configuration"
}
trap clean_up EXIT

# verdict CONDITION_STATUS TEXT
verdict() {
    if (($1 == 0)); then
        passed=$((passed + 1))
        echo "passed: $2"
    else
        failed=$((failed + 1))
        echo "FAILED: $2"
    fi
}

# as USER COMMAND [options ...]: the load generator as a user of that name.
as() {
    local user=$1 command=$2
    shift 2
    timeout -k 5 "$WAIT_SECONDS" "$bench" "$command" --server "127.0.0.1:$server_port" --user "$user" --pass "$user" \
        --quiet "$@"
}

# round SUBJECT RESPONDERS TEXT: requests on the subject as user a, answered in Z, with a sample for each.
round() {
    local subject=$1 responders=$2 text=$3 status=0 samples answers
    # Somebody listens to the samples, so that they are routed too; how many there are the conformance suite checks.
    as z sub --subject lat --messages "$((10 * REQUESTS))" >/dev/null 2>&1 &
    samples=$!
    as z reply --subject svc --subscribers "$responders" --queue q --messages "$REQUESTS" >/dev/null &
    answers=$!
    helpers=("$samples" "$answers")
    # Until the responders are there a request is refused; inside the account nothing is sampled.
    until as z request --subject svc --messages 1 --subscribers 0 >/dev/null 2>&1 || ((SECONDS >= WAIT_SECONDS)); do
        continue
    done
    as a request --subject "$subject" --messages "$((REQUESTS - 1))" --publishers 8 --in-flight 32 --subscribers 0 >/dev/null ||
        status=$?
    verdict "$status" "every request is answered: $text"
    status=0
    wait "$answers" || status=$?
    verdict "$status" "the service saw them all: $text"
    kill "$samples" 2>/dev/null || true
    wait "$samples" 2>/dev/null || true
    helpers=()
}

cat >"$configuration" <<'CONF'
accounts {
  A { users: [ {user: a, password: a} ], imports: [ {service: {account: Z, subject: svc}, to: near}, {service: {account: M, subject: mid}, to: far} ] }
  M { users: [ {user: m, password: m} ], exports: [ {service: mid} ], imports: [ {service: {account: Z, subject: svc}, to: mid} ] }
  Z { users: [ {user: z, password: z} ], exports: [ {service: svc, latency: {sampling: 100, subject: lat}} ] }
}
CONF
MYELIN_FLAGS="${MYELIN_FLAGS:-} -c $configuration"
if ! server_start "$log"; then
    cat "$log"
    echo "FAILED: the server does not start" >&2
    exit 1
fi
round near 4 "an import under another name"
round far 4 "a service behind a service"
for number in 1 2 3; do
    round far 1 "a group of one, $number"
    # The next group's connection goes to the shard behind this one's.
    as z sub --subject idle >/dev/null 2>&1 &
    idle+=($!)
done
kill "${idle[@]}"
wait "${idle[@]}" 2>/dev/null || true
kill -TERM "$server_pid"
status=0
wait "$server_pid" || status=$?
server_pid=
verdict "$status" "the server ends by itself"
((failed == 0)) || tail -n 40 "$log"
echo "$passed passed, $failed failed"
((failed == 0))
