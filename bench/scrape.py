#!/usr/bin/env python3
"""bench/scrape.py - what it costs to be watched: the CPU time of shards for the same messages with and without somebody who
asks /varz, /connz and /metrics ten times a second, beside 0, 1,000 and 10,000 connections that do nothing.

Pairs of runs, one watched and one not, in turn on one server for each number of connections: a noisy moment hits both of a
pair, and the median over many pairs of how much more the watched one took is steadier than either. The time of a message,
whose publisher does not wait, is what throughput is the inverse of. Before them come rounds of questions with nothing else to
do: what they take of a shard's CPU time is what they can take of its throughput, and needs no quiet machine. The control core,
which writes the documents, is the process's first thread: its time is told apart by the kernel's clock of each thread, and what
it has used of all cores is what throughput can lose where a shard would have had them. See docs/benchmarks.md. Only Python's own
library is used.
"""
import argparse
import http.client
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import free_port  # noqa: E402
from compare import Server, stop  # noqa: E402
from security import cpu_ns  # noqa: E402

RUN_SECONDS = 120
TARGETS = ("/varz", "/connz", "/metrics")
PAUSE_SECONDS = 0.1
ALONE_SECONDS = 5
CONNECT = b'CONNECT {"verbose":false,"name":"watched","lang":"python","version":"1"}\r\nPING\r\n'


def crowd(port, count):
    """So many clients that have logged in and say nothing more."""
    clients = []
    for _ in range(count):
        clients.append(socket.create_connection(("127.0.0.1", port), timeout=RUN_SECONDS))
        clients[-1].sendall(CONNECT)
    for client in clients:
        said = b""
        while b"PONG" not in said:
            more = client.recv(4096)
            if not more:
                raise RuntimeError(f"the server has closed a connection: {said[-200:]}")
            said += more
    return clients


class Watcher(threading.Thread):
    """Asks for all targets every PAUSE_SECONDS while it is on."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.on, self.rounds, self.seconds = port, threading.Event(), 0, 0.0
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=RUN_SECONDS)
        while True:
            self.on.wait()
            began = time.monotonic()
            for target in TARGETS:
                connection.request("GET", target)
                connection.getresponse().read()
            took = time.monotonic() - began
            self.rounds, self.seconds = self.rounds + 1, self.seconds + took
            time.sleep(max(0, PAUSE_SECONDS - took))


def figures(port):
    """What the shards have used of CPU time, and pages of figures of theirs, in seconds, and the longest page. Nothing of
    a server that does not tell."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=RUN_SECONDS)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode()
    connection.close()

    def values(name):
        return [float(value) for value in re.findall(r"^myelin_shard_%s\{.*\} (\S+)$" % name, lines, re.M)]
    return sum(values("cpu_seconds_total")), sum(values("report_seconds_total")), max(values("report_page_seconds_max"), default=0)


def control_ns(pid):
    """What the first thread has used, Myelin's control core. Of a server in Go it says nothing."""
    with open(f"/proc/{pid}/task/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def once(options, process, port, watched_port):
    """CPU time for the messages, of the shards where the server tells it, else of the server, the time from beginning to end,
    and the control core's CPU time, in ns."""
    control = control_ns(process.pid)
    before, shards, began = cpu_ns(process.pid), figures(watched_port)[0], time.monotonic_ns()
    done = subprocess.run([options.bench, "pubsub", "--size", "16", "--messages", str(options.messages), "--quiet",
                           "--server", "127.0.0.1:%d" % port], capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    took = time.monotonic_ns() - began
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    used = 1e9 * (figures(watched_port)[0] - shards)
    return used if used > 0 else cpu_ns(process.pid) - before, took, control_ns(process.pid) - control


def alone(process, watched_port, watcher):
    """The shards' CPU time for a round of questions while nothing else happens, and the control core's, in seconds: no other
    work can hide it, and what waking up costs is in it."""
    before, control, rounds = figures(watched_port)[0], control_ns(process.pid), watcher.rounds
    watcher.on.set()
    time.sleep(ALONE_SECONDS)
    watcher.on.clear()
    time.sleep(2 * PAUSE_SECONDS)
    asked = max(watcher.rounds - rounds, 1)
    return (figures(watched_port)[0] - before) / asked, (control_ns(process.pid) - control) / 1e9 / asked


def shares(pairs):
    """How much more the second of each pair is, in per cent: the median, and between what the middle half lies."""
    ratios = [100 * (watched / without - 1) for without, watched in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{middle:+.2f} % ({low:+.2f} .. {high:+.2f})"


def measure(options, path, count):
    watched_port = free_port()
    process, port = Server(path, path, ["-m", str(watched_port)]).start()
    try:
        clients = crowd(port, count)
        watcher = Watcher(watched_port)
        round_seconds, control_seconds = alone(process, watched_port, watcher)
        cpu, time_taken, control, span = [], [], [], 0
        page_seconds = -figures(watched_port)[1]
        for number in range(options.rounds):
            ran = {}
            for watched in ((False, True), (True, False))[number % 2]:  # whoever comes second gains nothing by it
                (watcher.on.set if watched else watcher.on.clear)()
                ran[watched] = once(options, process, port, watched_port)
                span += ran[watched][1] if watched else 0
            cpu.append((ran[False][0], ran[True][0]))
            time_taken.append((ran[False][1], ran[True][1]))
            control.append(ran[True][2] / ran[True][1] - ran[False][2] / ran[False][1])
        watcher.on.clear()
        _, taken, longest = figures(watched_port)
        page_seconds += taken
        without, watched = (statistics.median(pair[key] for pair in cpu) / options.messages for key in (False, True))
        row = [os.path.basename(path), f"{count:,}", f"{without:.1f} ns", f"{watched:.1f} ns", shares(cpu), shares(time_taken),
               f"{1000 * watcher.seconds / max(watcher.rounds, 1):.1f} ms"]
        row += [f"{1e6 * round_seconds:.0f} us", f"{100 * round_seconds / PAUSE_SECONDS:.2f} %", f"{100e9 * page_seconds / span:.2f} %",
                f"{1e6 * longest:.0f} us", f"{1e6 * control_seconds:.0f} us", f"{100 * control_seconds / PAUSE_SECONDS:.2f} %",
                f"{100 * statistics.median(control):.2f} %", f"{100 * statistics.median(control) / os.cpu_count():.2f} %"] \
            if longest > 0 else [""] * 8
        print("| " + " | ".join(row) + " |", flush=True)
        for client in clients:
            client.close()
    finally:
        stop(process)


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", action="append", help="a server's program; may be given several times (build/myelin)")
    parser.add_argument("--bench", default=os.path.join(root, "build", "myelin-bench"))
    parser.add_argument("--messages", type=int, default=5000000)
    parser.add_argument("--rounds", type=int, default=41, help="pairs of runs")
    parser.add_argument("--connections", type=int, action="append", help="(0, 1000, 10000)")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("| server | idle connections | CPU a message | watched | more CPU a message | more time a message | a round of questions takes "
          "| of a shard's CPU, alone | ten a second | pages, of the shards' time | longest page | a round of the control core's CPU, alone "
          "| ten a second, of a core | beside messages | of all cores |\n" + "|---" * 15 + "|")
    for path in options.server or [os.path.join(root, "build", "myelin")]:
        for count in options.connections or [0, 1000, 10000]:
            measure(options, path, count)


if __name__ == "__main__":
    main()
