#!/usr/bin/env bash
# tests/server/beside.sh - a suite, and its proof against another server at the same time, because both mostly wait.
#
# Usage: tests/server/beside.sh LOG PROOF_COMMAND... -- COMMAND...
#
# What the proof says goes to LOG and is shown when it fails; else its last line is. Both have to succeed.
set -uo pipefail

log=$1
shift
proof=()
while (($# > 0)) && [[ $1 != -- ]]; do
    proof+=("$1")
    shift
done
if (($# < 2 || ${#proof[@]} == 0)); then
    echo "usage: $0 LOG PROOF_COMMAND... -- COMMAND..." >&2
    exit 2
fi
shift
mkdir -p "$(dirname "$log")"
"${proof[@]}" >"$log" 2>&1 </dev/null &
proof_pid=$!
trap 'kill "$proof_pid" 2>/dev/null' INT TERM
status=0
"$@" || status=$?
if wait "$proof_pid"; then
    echo "proof: $(tail -n 1 "$log")"
else
    cat "$log"
    echo "the proof failed: ${proof[*]}"
    status=1
fi
exit "$status"
