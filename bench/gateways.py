#!/usr/bin/env python3
"""bench/gateways.py - two clusters of one node each, joined by gateways: publisher in one, subscriber in the other.

The measure is the CPU time of both server processes per message, as in bench/cluster.py; and the same for messages in a
hundred thousand subjects that nobody wants anywhere. Servers take turns, each run is on fresh processes;
the table shows medians. See docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster  # noqa: E402
from compare import MYELIN, NATS, NATS_NEW, nats_new_find  # noqa: E402

AIM = 4  # how many times the better nats-server's figure has to be


class Pair(cluster.Pair):
    """Two nodes; `a` is where publishers go."""

    def __init__(self, path):
        self.ports = [cluster.free_port() for _ in range(4)]
        self.folder = tempfile.TemporaryDirectory()
        self.processes = []
        for own, other, name in ((0, 1, "A"), (1, 0, "B")):
            config = os.path.join(self.folder.name, name)
            with open(config, "w", encoding="ascii") as file:
                file.write(f'server_name: {name}\nlisten: "127.0.0.1:{self.ports[own]}"\n'
                           f'gateway {{ name: G{name}, listen: "127.0.0.1:{self.ports[own + 2]}"\n gateways: [\n'
                           f'  {{name: G{"BA"[own]}, url: "nats://127.0.0.1:{self.ports[other + 2]}"}}\n ] }}\n')
            self.processes.append(self.start_with(path, config, self.ports[own]))

    @staticmethod
    def start_with(path, config, port):
        process = subprocess.Popen([path, "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        cluster.wait_for_port(process, port)
        return process


class Alone(Pair):
    """A server that knows of no other."""

    def __init__(self, path):
        self.ports = [cluster.free_port()]
        self.folder = tempfile.TemporaryDirectory()
        config = os.path.join(self.folder.name, "alone")
        with open(config, "w", encoding="ascii") as file:
            file.write(f'listen: "127.0.0.1:{self.ports[0]}"\n')
        self.processes = [self.start_with(path, config, self.ports[0])]

    def __enter__(self):
        return self


def throughput(bench, path, messages, size):
    """CPU ns of both nodes per message."""
    return cluster.throughput(bench, path, messages, size, Pair)


def unwanted(path, kind=Pair, subjects=100_000):
    """CPU ns of all nodes per message, when each of so many subjects comes for the second time."""
    lines = b"".join(b"PUB no.%d 16\r\n0123456789abcdef\r\n" % i for i in range(subjects))
    with kind(path) as pair:
        client = cluster.Client(pair.ports[0])
        client.send(lines)
        client.flush()
        before = pair.cpu_ns()
        client.send(lines)
        client.flush()
        return (pair.cpu_ns() - before) / subjects


def main():
    parser = argparse.ArgumentParser(description="two clusters joined by gateways; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--nats", default="/usr/sbin/nats-server")
    parser.add_argument("--nats-new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    build = os.path.dirname(os.path.abspath(options.bench))
    paths = [(MYELIN, options.myelin), (NATS, options.nats), (NATS_NEW, nats_new_find(options.nats_new, build))]
    paths = [(key, path) for key, path in paths if path and os.access(path, os.X_OK)]
    rows = [("128 B: CPU of both clusters, ns/message",
             lambda path: throughput(options.bench, path, int(1_000_000 * options.scale), 128)),
            ("100,000 subjects that nobody wants: CPU of both, ns/message", unwanted),
            ("the same where there is no other cluster", lambda path: unwanted(path, Alone))]
    failed = False
    for title, run in rows:
        values = {key: [] for key, _ in paths}
        for _ in range(options.rounds):
            for key, path in paths:
                try:
                    values[key].append(run(path))
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    print(f"gateways: {title} on {key} failed: {error}", file=sys.stderr)
                    failed = True
        medians = {key: statistics.median(list_) for key, list_ in values.items() if list_}
        nats = [medians[key] for key in (NATS, NATS_NEW) if key in medians]
        text = "  ".join(f"{key} {value:,.1f}" for key, value in medians.items())
        if nats and MYELIN in medians:
            ratio = min(nats) / medians[MYELIN]
            text += f"  best nats/myelin {ratio:.2f}, aim >= {AIM}: {'met' if ratio >= AIM else 'MISSED'}"
        print(f"{title}: {text}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
