#!/usr/bin/env python3
"""bench/cluster.py - two nodes of one kind: publisher on one, subscriber on the other; and a burst of interest.

The measure is the CPU time of both server processes per message, and the time from the first SUB until the other node
knows the last of 100,000. Servers take turns, each run is on fresh processes; the table shows medians. See
docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import MYELIN, NATS, NATS_NEW, nats_new_find, stop  # noqa: E402

WAIT_SECONDS = 60
BURST = 100_000
AIM_CPU, AIM_BURST = 4, 3  # how many times the better nats-server's figure has to be


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB answer 1\r\n')
        self.flush()

    def send(self, data):
        self.socket.sendall(data)

    def flush(self):
        """All that was said before is done; the lines that came."""
        self.send(b"PING\r\n")
        lines = []
        while (line := self.file.readline()) != b"PONG\r\n":
            if not line:
                raise RuntimeError("the server closed a client")
            lines.append(line)
        return lines

    def wait_for_interest(self, subject):
        """Until a message there is for somebody. Exactly one is delivered."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            self.send(b"PUB %s answer 0\r\n\r\n" % subject)
            if not any(b"HMSG answer" in line for line in self.flush()):
                return
            if time.monotonic() > end:
                raise RuntimeError("interest does not arrive")
            time.sleep(0.0005)


def wait_for_port(process, port):
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{process.args[0]} does not start") from None
            time.sleep(0.01)


class Pair:
    """Two nodes; `a` is where publishers go."""

    def __init__(self, path):
        self.ports = [free_port() for _ in range(4)]
        a, b, route_a, route_b = self.ports
        self.processes = [
            self.start(path, a, route_a, []),
            self.start(path, b, route_b, ["--routes", f"nats://127.0.0.1:{route_a}"])]

    @staticmethod
    def start(path, port, route_port, more):
        process = subprocess.Popen([path, "-a", "127.0.0.1", "-p", str(port), "--cluster",
                                    f"nats://127.0.0.1:{route_port}", "--cluster_name", "bench"] + more,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(process, port)
        return process

    def __enter__(self):
        """With the route in place."""
        a, b = Client(self.ports[0]), Client(self.ports[1])
        b.send(b"SUB linked 2\r\n")
        a.wait_for_interest(b"linked")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            stop(process)

    def cpu_ns(self):
        """Of both processes, all threads."""
        total = 0
        for process in self.processes:
            for task in os.listdir(f"/proc/{process.pid}/task"):
                with open(f"/proc/{process.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total


def throughput(bench, path, messages, size, kind=Pair):
    """CPU ns of both nodes per message."""
    with kind(path) as pair:
        subscriber = subprocess.Popen([bench, "sub", "--server", f"127.0.0.1:{pair.ports[1]}", "--messages",
                                       str(messages + 1), "--subject", "bench", "--quiet", "--json", "--timeout", "60"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            Client(pair.ports[0]).wait_for_interest(b"bench")
            before = pair.cpu_ns()
            subprocess.run([bench, "pub", "--server", f"127.0.0.1:{pair.ports[0]}", "--messages", str(messages),
                            "--size", str(size), "--subject", "bench", "--quiet", "--json", "--timeout", "60"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            if subscriber.wait(timeout=WAIT_SECONDS) != 0:
                raise RuntimeError("the subscriber failed")
            return (pair.cpu_ns() - before) / messages
        finally:
            subscriber.kill()
            subscriber.wait()


def burst(path):
    """Seconds until the other node knows 100,000 subscriptions, and CPU ns of both nodes for each."""
    lines = b"".join(b"SUB burst.%d.x %d\r\n" % (i, i + 10) for i in range(BURST))
    with Pair(path) as pair:
        a, b = Client(pair.ports[0]), Client(pair.ports[1])
        before, began = pair.cpu_ns(), time.monotonic()
        b.send(lines)
        a.wait_for_interest(b"burst.%d.x" % (BURST - 1))
        return time.monotonic() - began, (pair.cpu_ns() - before) / BURST


def main():
    parser = argparse.ArgumentParser(description="two nodes of Myelin and of nats-server; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--nats", default="/usr/sbin/nats-server")
    parser.add_argument("--nats-new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--json")
    options = parser.parse_args()
    build = os.path.dirname(os.path.abspath(options.bench))
    paths = [(MYELIN, options.myelin), (NATS, options.nats), (NATS_NEW, nats_new_find(options.nats_new, build))]
    paths = [(key, path) for key, path in paths if path and os.access(path, os.X_OK)]
    rows = [("16 B: CPU of both nodes, ns/message", AIM_CPU,
             lambda path: throughput(options.bench, path, int(2_000_000 * options.scale), 16)),
            ("1 KiB: CPU of both nodes, ns/message", AIM_CPU,
             lambda path: throughput(options.bench, path, int(400_000 * options.scale), 1024)),
            ("100,000 subscriptions: ms until known", AIM_BURST, lambda path: burst(path)[0] * 1e3),
            ("100,000 subscriptions: CPU of both nodes, ns each", AIM_CPU, lambda path: burst(path)[1])]
    results = {}
    failed = False
    for title, aim, run in rows:
        values = {key: [] for key, _ in paths}
        for _ in range(options.rounds):
            for key, path in paths:
                try:
                    values[key].append(run(path))
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    print(f"cluster: {title} on {key} failed: {error}", file=sys.stderr)
                    failed = True
        medians = {key: statistics.median(list_) for key, list_ in values.items() if list_}
        nats = [medians[key] for key in (NATS, NATS_NEW) if key in medians]
        text = "  ".join(f"{key} {value:,.1f}" for key, value in medians.items())
        if nats and MYELIN in medians:
            ratio = min(nats) / medians[MYELIN]
            text += f"  best nats/myelin {ratio:.2f}, aim >= {aim}: {'met' if ratio >= aim else 'MISSED'}"
        print(f"{title}: {text}", flush=True)
        results[title] = medians
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(results, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
