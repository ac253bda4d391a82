#!/usr/bin/env bash
# tests/interop/run.sh - official NATS clients against a server binary.
#
# Usage: tests/interop/run.sh SERVER_BINARY [c|go|js|py ...]      (no names: all, with TLS and without)
#
# NAME-tls runs the same scenarios with TLS and certificates on both sides, which are made for the run. stan-NAME runs those
# of the NATS Streaming client of that language; the server is started through a link named nats-streaming-server.
# stan-cluster runs those clients together against a cluster whose leaders are killed, stan-partitions against one whose
# leaders are cut off in network namespaces (tests/interop/cluster).
#
# For each client: builds or installs it below build/interop, starts the server on a free loopback port, runs the
# client's scenarios against it within CLIENT_SECONDS, and checks that the server is still alive behind them. The
# reconnect scenario starts, kills and restarts a server of its own, from the same binary. MYELIN_FLAGS holds further
# words for every server, for instance "--shards 3"; C_CLIENT names a C client that is built already.
#
# Prints what each client prints, a line per client, and at the end "N passed, N failed, N skipped" (scenarios). A client
# without its toolchain is skipped with the reason; where CI is set it fails, because there nobody would notice.
set -euo pipefail

readonly CLIENT_SECONDS=120
readonly NODE_VERSION_MIN=20
readonly cluster_clients="c go js"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/interop
work=$root/build/interop
passed=0
failed=0
skipped=0

# shellcheck source=tests/server/server.sh
source "$root/tests/server/server.sh"
trap server_stop EXIT

# Runs a command only when the file it depends on has changed since it last succeeded.
once_per() {
    local source=$1 stamp=$2
    shift 2
    if ! cmp -s "$source" "$stamp"; then
        "$@" && cp "$source" "$stamp"
    fi
}

# at_least WANTED VERSION
at_least() {
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]
}

# prepare_NAME builds or installs and sets `command`; where the toolchain is missing it sets `reason` instead. They
# are called in a condition, where the shell ignores -e, so each step hands its failure on.
prepare_c() {
    if [[ ! -f /usr/include/nats/nats.h ]]; then
        reason="libnats-dev is not installed"
        return
    fi
    if [[ -n ${C_CLIENT:-} ]]; then
        command=("$(realpath "$C_CLIENT")")
        return
    fi
    make -C "$root" -s VARIANT=release build/c-client || return
    command=("$root/build/c-client")
}

prepare_go() {
    local wanted
    if ! command -v go >/dev/null; then
        reason="go is not installed"
        return
    fi
    wanted=$(sed -n 's/^go //p' "$here/go/go.mod")
    if ! at_least "$wanted" "$(go env GOVERSION | sed 's/^go//')"; then
        reason="go $wanted or newer is needed"
        return
    fi
    (cd "$here/go" && go build -o "$work/interop-go" .) || return
    command=("$work/interop-go")
}

prepare_js() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        reason="node and npm are not installed"
        return
    fi
    if ! at_least "$NODE_VERSION_MIN" "$(node --version | sed 's/^v//')"; then
        reason="node $NODE_VERSION_MIN or newer is needed"
        return
    fi
    mkdir -p "$work/js" &&
        cp "$here"/js/{package.json,package-lock.json,.npmrc} "$here"/js/*.mjs "$work/js/" &&
        (cd "$work/js" && once_per package-lock.json .installed-lock npm ci --silent) || return
    command=(node "$work/js/main.mjs")
}

# prepare_venv FOLDER REQUIREMENTS
prepare_venv() {
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        reason="python3 with venv is not installed"
        return
    fi
    [[ -x $1/bin/python ]] || python3 -m venv "$1" || return
    once_per "$2" "$1/.installed-requirements" "$1/bin/python" -m pip install --quiet -r "$2" || return
    command=("$1/bin/python" -B "$here/py/main.py")
}

prepare_py() {
    prepare_venv "$work/venv" "$here/py/requirements.txt"
}

# stan.py wants an older NATS client of the same name, so it has an environment of its own.
prepare_stan-py() {
    prepare_venv "$work/venv-streaming" "$here/py/requirements-streaming.txt" && command+=(--streaming)
}

prepare_stan-c() {
    prepare_c && command+=(--streaming)
}

prepare_stan-go() {
    prepare_go && command+=(--streaming)
}

prepare_stan-js() {
    prepare_js && command+=(--streaming)
}

# Certificates of a day: an authority, the server's, the client's.
make_certificates() {
    local folder=$1 name
    rm -rf "$folder" && mkdir -p "$folder" || return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$folder/ca.key" \
        -out "$folder/ca.pem" -days 1 -subj /CN=interop-ca 2>/dev/null || return
    echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >"$folder/names"
    for name in server client; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$folder/$name.key" \
            -out "$folder/$name.csr" -subj "/CN=$name" 2>/dev/null &&
            openssl x509 -req -in "$folder/$name.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
                -days 1 -out "$folder/$name.pem" -extfile "$folder/names" 2>/dev/null || return
    done
}

# The client NAME with TLS: server and client are told by the environment.
run_client_secure() {
    local folder=$work/tls
    if ! make_certificates "$folder"; then
        echo "$1-tls: FAILED: openssl makes no certificates"
        failed=$((failed + 1))
        return
    fi
    local MYELIN_FLAGS="${MYELIN_FLAGS:-} --tls --tlscert $folder/server.pem --tlskey $folder/server.key"
    MYELIN_FLAGS+=" --tlscacert $folder/ca.pem --tlsverify"
    local INTEROP_TLS=$folder
    export MYELIN_FLAGS INTEROP_TLS
    run_client "$1" -tls
}

# The client stan-NAME: the server is known by the name of the link that it is started through.
run_client_streaming() {
    ln -sfn "$server_binary" "$work/nats-streaming-server"
    local server_binary=$work/nats-streaming-server
    run_client "$1"
}

# prepared CLIENT NAME: whether the client is there; the caller's `command` is how it is run. If not, says why under NAME and
# counts it: without its toolchain it is skipped, or in CI has failed; one that cannot be built has failed anywhere.
prepared() {
    local client=$1 name=$2 reason=
    if ! "prepare_$client" >"$work/$client.prepare" 2>&1; then
        cat "$work/$client.prepare"
        reason="could not be built or installed"
    elif [[ -z $reason ]]; then
        return 0
    elif [[ -z ${CI:-} ]]; then
        echo "$name: skipped: $reason"
        skipped=$((skipped + 1))
        return 1
    fi
    echo "$name: FAILED: $reason"
    failed=$((failed + 1))
    return 1
}

# The streaming clients together: NAME and the program that judges them. One whose toolchain is missing is left out.
run_cluster() {
    local client name=$1 program=$2 status=0
    local -a command=() clients=()
    echo "== $name"
    for client in $cluster_clients; do
        if prepared "$client" "$name: $client"; then
            clients+=("$client=${command[*]} --history")
        fi
    done
    ((${#clients[@]} > 0)) || return 0
    timeout -k 5 "$CLIENT_SECONDS" python3 -B "$here/cluster/$program" "$server_binary" "${clients[@]}" \
        >"$work/$name.out" 2>"$work/$name.err" || status=$?
    cat "$work/$name.out"
    ((status == 0)) || tail -n 60 "$work/$name.err"
    add_summary "$name" "$status"
}

# Adds the figures of the client's closing line to the sums.
add_summary() {
    local name=$1 status=$2 summary
    summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$work/$name.out" | tail -n 1 || true)
    if [[ $summary =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        skipped=$((skipped + BASH_REMATCH[3]))
        if ((status != 0 && BASH_REMATCH[2] == 0)); then
            failed=$((failed + 1))
            summary+=", but it exited with $status"
        fi
    else
        failed=$((failed + 1))
        summary="FAILED: no closing line, exit code $status (124: ran out of $CLIENT_SECONDS s)"
    fi
    echo "$name: $summary"
}

run_client() {
    local client=$1 name=$1${2:-} status=0 url
    local -a command=()
    echo "== $name"
    prepared "$client" "$name" || return 0
    if ! server_start "$work/$name.server.log"; then
        cat "$work/$name.server.log"
        echo "$name: FAILED: the server does not start"
        failed=$((failed + 1))
        return
    fi
    url=nats://127.0.0.1:$server_port
    timeout -k 5 "$CLIENT_SECONDS" "${command[@]}" "$url" "$server_binary" \
        >"$work/$name.out" 2>"$work/$name.err" || status=$?
    cat "$work/$name.out"
    if ! server_alive; then
        echo "$name: the server died"
        status=$((status == 0 ? 1 : status))
    fi
    if ((status != 0)); then
        tail -n 60 "$work/$name.err"
        echo "-- the server's log:"
        tail -n 20 "$work/$name.server.log"
    fi
    add_summary "$name" "$status"
    server_stop
}

if (($# < 1)); then
    echo "usage: $0 SERVER_BINARY [[stan-]c|go|js|py[-tls] | stan-cluster | stan-partitions ...]" >&2
    exit 2
fi
server_binary=$(command -v "$1" || true)
if [[ -z $server_binary ]]; then
    echo "$0: there is no program $1" >&2
    exit 2
fi
server_binary=$(realpath "$server_binary")
shift
mkdir -p "$work"
clients=("$@")
((${#clients[@]} > 0)) || clients=(c go js py c-tls go-tls js-tls py-tls stan-c stan-go stan-js stan-py stan-cluster \
    stan-partitions)
for client in "${clients[@]}"; do
    case $client in
    c | go | js | py) run_client "$client" ;;
    c-tls | go-tls | js-tls | py-tls) run_client_secure "${client%-tls}" ;;
    stan-c | stan-go | stan-js | stan-py) run_client_streaming "$client" ;;
    stan-cluster) run_cluster "$client" run.py ;;
    stan-partitions) run_cluster "$client" partitions.py ;;
    *)
        echo "$0: there is no client $client" >&2
        exit 2
        ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
