# tests/server/server.sh - start and stop a server binary; to be sourced by scripts in strict mode.
# Reads server_binary and MYELIN_FLAGS, sets server_pid and server_port.
# shellcheck shell=bash

readonly SERVER_START_TRIES=5
readonly SERVER_START_POLLS=100 # of 0.1 s
readonly SERVER_STOP_POLLS=50

server_pid=
server_port=

server_accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

server_alive() {
    kill -0 "$server_pid" 2>/dev/null
}

# Asks it to end, and kills it when it does not.
server_stop() {
    local i
    if [[ -n $server_pid ]]; then
        kill -TERM "$server_pid" 2>/dev/null || true
        for ((i = 0; i < SERVER_STOP_POLLS; i++)); do
            server_alive || break
            sleep 0.1
        done
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=
    fi
}

# server_start LOG: on a free loopback port. Another process may take a port between the look and the start, so it is
# tried again.
server_start() {
    local log=$1 i try
    for ((try = 0; try < SERVER_START_TRIES; try++)); do
        server_port=$((30000 + RANDOM % 2700)) # not those of tests/integration, nor the kernel's
        server_accepts "$server_port" && continue
        # MYELIN_FLAGS is a list of words.
        # shellcheck disable=SC2086
        "$server_binary" -a 127.0.0.1 -p "$server_port" ${MYELIN_FLAGS:-} >"$log" 2>&1 &
        server_pid=$!
        for ((i = 0; i < SERVER_START_POLLS; i++)); do
            server_alive || break
            server_accepts "$server_port" && return 0
            sleep 0.1
        done
        server_stop
    done
    return 1
}
