#!/usr/bin/env python3
"""tests/integration/test_streaming_load.py - NATS Streaming where threads cannot follow each other: three shards,
mailboxes that are always full, many publishers and subscribers. myelin-bench accounts for every acknowledgement and
delivery, and for their order.

Run: python3 tests/integration/test_streaming_load.py path/of/myelin path/of/myelin-bench
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS, RUN_SECONDS = 20, 60
CASES = [  # store, more of the server, myelin-bench
    ("MEMORY", [], "stan --publishers 3 --subscribers 4 --subjects 2 --messages 20000 --size 300 --in-flight 500"),
    ("FILE", [], "stan --publishers 3 --subscribers 4 --subjects 2 --messages 20000 --size 300 --in-flight 500"),
    ("FILE", [], "stan --publishers 2 --subscribers 3 --messages 9000 --size 5000 --in-flight 100 --queue group"),
    ("MEMORY", ["--shards", "1"], "stan --publishers 5 --subscribers 1 --subjects 1 --messages 20000 --size 0"),
]


def server_start(myelin, folder, store, more):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shards = [] if "--shards" in more else ["--shards", "3"]
    process = subprocess.Popen([myelin, "-a", "127.0.0.1", "-p", str(port), "--streaming", "-store", store, "-dir",
                                os.path.join(folder, "store"), "--mailbox_bytes", "65536"] + shards + more,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, port
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise RuntimeError("the server does not start") from None
            time.sleep(0.01)


def run(myelin, bench, store, more, words):
    with tempfile.TemporaryDirectory() as folder:
        process, port = server_start(myelin, folder, store, more)
        try:
            done = subprocess.run([bench] + words.split() + ["--server", f"127.0.0.1:{port}", "--json", "--quiet",
                                                             "--timeout", "30"],
                                  capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr.strip())
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(START_SECONDS)
        if code not in (0, 1):  # of a sanitizer
            raise RuntimeError(f"the server ended with {code}")
        return json.loads(done.stdout)


def main():
    myelin, bench = sys.argv[1:3]
    for store, more, words in CASES:
        report = run(myelin, bench, store, more, words)
        print(f"streaming load, {store}: {report['messages']} messages, {report['deliveries']} deliveries")


if __name__ == "__main__":
    main()
