#!/usr/bin/env python3
"""tests/integration/test_restart.py SERVER - a server that was killed can be started again at once on its port.

The kernel closes the sockets of a killed process's io_uring a moment after the process is gone, so a server that
gave up at the first "address already in use" failed here about once in five times.
"""
import os
import signal
import socket
import subprocess
import sys

import cluster_client

ROUNDS = 20
READY_SECONDS = 20


def start(server, port):
    """Starts it and waits for the line that says it is ready; the process, or None and what it said."""
    process = subprocess.Popen([server, "-a", "127.0.0.1", "-p", str(port)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if "Server is ready" in line:
            return process, said
    process.wait()
    return None, said


def greeted(port):
    """An open connection that got its INFO: the listener is in use."""
    client = socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS)
    with client.makefile("rb") as stream:
        line = stream.readline()
    if not line.startswith(b"INFO "):
        raise RuntimeError(f"no INFO but {line!r}")
    return client


def main():
    server = sys.argv[1]
    passed = failed = 0
    (port,) = cluster_client.free_ports(1)
    process, said = start(server, port)
    for _ in range(ROUNDS):
        if process is None:
            failed += 1
            print("the server does not start again:", "".join(said[-1:]).strip())
            process, said = start(server, port)
            continue
        client = greeted(port)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        process, said = start(server, port)
        client.close()
        passed += process is not None
    if process is not None:
        process.kill()
        process.wait()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
