#!/usr/bin/env bash
# tests/server/soak.sh - the soak against a server of its own.
#
# Usage: [SOAK=build/soak] [SOAK_ACCOUNTS=4] tests/server/soak.sh SERVER_BINARY [soak's options ...]
#
# With SOAK_ACCOUNTS the connections are in so many accounts, of which each second one imports the streams of the one
# before it.
#
# Starts the server on a free loopback port (with the words of MYELIN_FLAGS), runs the soak, checks that the server is
# still alive, and then proves that the soak can fail: with each kind of --sabotage a short run must. Prints the soak's own
# lines and a closing line "N passed, N failed" of runs.
set -euo pipefail

readonly SABOTAGE_OPERATIONS=4000
readonly RUN_SECONDS_MAX=3600

# shellcheck source=tests/server/server.sh
source "$(dirname "${BASH_SOURCE[0]}")/server.sh"

soak=${SOAK:-build/soak}
log=$(mktemp)
configuration=$(mktemp)
accounts=${SOAK_ACCOUNTS:-0}
account_option=()
passed=0
failed=0

clean_up() {
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

if (($# < 1)); then
    echo "usage: $0 SERVER_BINARY [soak's options ...]" >&2
    exit 2
fi
server_binary=$1
shift
if ((accounts > 0)); then
    {
        echo "accounts {"
        for ((i = 0; i < accounts; i++)); do
            echo " A$i { users: [ {user: u$i, password: u$i} ], exports: [ {stream: \"soak.>\"}, {stream: \"lone.>\"} ]"
            ((i % 2 == 0)) || echo "  imports: [ {stream: {account: A$((i - 1)), subject: \"soak.>\"}}," \
                "{stream: {account: A$((i - 1)), subject: \"lone.>\"}} ]"
            echo " }"
        done
        echo "}"
    } >"$configuration"
    MYELIN_FLAGS="${MYELIN_FLAGS:-} -c $configuration"
    account_option=(--accounts "$accounts")
fi
if ! server_start "$log"; then
    cat "$log"
    echo "FAILED: the server does not start" >&2
    exit 1
fi
status=0
timeout -k 5 "$RUN_SECONDS_MAX" "$soak" --server "127.0.0.1:$server_port" "${account_option[@]}" "$@" || status=$?
verdict "$status" "soak $*"
status=0
server_alive || status=1
verdict "$status" "the server is alive"
((status == 0)) || tail -n 40 "$log"

# A server that has failed already proves nothing about the soak.
if ((failed == 0)); then
    for kind in drop duplicate payload order stranger member no-responders; do
        status=0
        timeout -k 5 120 "$soak" --server "127.0.0.1:$server_port" "${account_option[@]}" --seed 1 \
            --operations "$SABOTAGE_OPERATIONS" --sabotage "$kind" >/dev/null 2>&1 || status=$?
        verdict $((status == 1 ? 0 : 1)) "the soak notices sabotage: $kind"
    done
fi
echo "$passed passed, $failed failed"
((failed == 0))
