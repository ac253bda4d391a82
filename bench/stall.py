#!/usr/bin/env python3
"""bench/stall.py - how long monitoring holds up a shard: the longest page of one shard with very many connections while each
document is asked for. A shard answers at most one page in a turn, so nothing waits longer than that because of it.

As many connections as a process may have descriptors, less some. The server runs with a real-time priority where that is
allowed, so that other programs on the machine do not count as its time. See docs/monitoring.md 2. Only Python's own library.
"""
import argparse
import http.client
import os
import re
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import free_port  # noqa: E402
from compare import Server, stop  # noqa: E402
from scrape import RUN_SECONDS, crowd  # noqa: E402

SPARE = 200  # descriptors that are no connections
PRIORITY = 10
TARGETS = ["/varz", "/metrics", "/connz", "/connz?limit=100000", "/connz?sort=rtt", "/connz?sort=last", "/connz?sort=idle",
           "/connz?sort=bytes_to", "/connz?subs=detail&auth=1&limit=100000", "/subsz?subs=1&limit=100000", "/accstatz"]


def ask(connection, target):
    connection.request("GET", target)
    return connection.getresponse().read()


def figures(connection):
    """Of the shard: time and number of pages, longest page."""
    lines = ask(connection, "/metrics").decode()
    return [float(re.search(r"^myelin_shard_%s\{.*\} (\S+)$" % name, lines, re.M).group(1))
            for name in ("report_seconds_total", "report_pages_total", "report_page_seconds_max")]


def preferred(process):
    """Its threads wait for no other program."""
    for thread in os.listdir("/proc/%d/task" % process.pid):
        try:
            os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(PRIORITY))
        except PermissionError:
            print("no real-time priority: other programs count as well", file=sys.stderr)
            return


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default=os.path.join(root, "build", "myelin"))
    parser.add_argument("--connections", type=int, default=min(most, 100000) - SPARE)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    watched_port = free_port()
    server = Server(options.server, options.server, ["-m", str(watched_port), "--shards", "1"])
    process, port = server.start()
    try:
        preferred(process)
        clients = crowd(port, options.connections)
        connection = http.client.HTTPConnection("127.0.0.1", watched_port, timeout=RUN_SECONDS)
        print("%d connections on one shard\n" % len(clients))
        print("| document | answer | pages | a page | longest page so far |\n|---|---|---|---|---|")
        for target in TARGETS:
            seconds, pages, _ = figures(connection)
            began = time.monotonic()
            for _ in range(options.rounds):
                ask(connection, target)
            took = (time.monotonic() - began) / options.rounds
            after = figures(connection)
            count = after[1] - pages
            print("| `%s` | %.1f ms | %d | %.1f us | %.0f us |" % (
                target, 1e3 * took, count / options.rounds, 1e6 * (after[0] - seconds) / count, 1e6 * after[2]), flush=True)
        for client in clients:
            client.close()
    finally:
        stop(process)


if __name__ == "__main__":
    main()
