#!/usr/bin/env python3
"""bench/streaming.py - NATS Streaming on one server: Myelin, nats-streaming-server, and a bare program that appends and
syncs the same bytes on the same disk.

Servers take turns, each run is on a fresh process and, with a file store, in a fresh folder below --folder; the table
shows medians. See docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import MYELIN, Server, stop  # noqa: E402
from security import cpu_ns  # noqa: E402

OLD = "nats-streaming"
FLOOR, RESERVED = "floor", "floor, file made before"
RUN_SECONDS = 300
NO_LIMITS = ["-mm", "0", "-mb", "0"]
BYTES = 256  # of a durable publish


def bench(path, arguments, port=None, pid=None):
    """The report of one run of myelin-bench."""
    where = ["--server", f"127.0.0.1:{port}", "--pid", str(pid)] if port else []
    done = subprocess.run([path] + arguments + where + ["--json", "--quiet"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    return json.loads(done.stdout)


def log_bytes(size):
    """What Myelin's log takes for a message of that size on channel "bench" (docs/store.md 3): a record with the
    encoded message, rounded up, and an entry of an index."""
    header, fields, entry = 32, 24, 32
    encoded = 4 + 2 + len("bench") + 3 + size + 10
    return (header + fields + encoded + 7) // 8 * 8 + entry


def own_memory(pid):
    """Bytes that no file stands behind: without the page cache."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


class Run:
    """A streaming server in a folder of its own, which outlives it until the end of the block."""

    def __init__(self, options, key, path, store):
        self.options, self.key, self.path, self.store = options, key, path, store
        self.folder = tempfile.mkdtemp(prefix="myelin-bench-", dir=options.folder)
        self.process = self.port = None

    def start(self):
        arguments = ["--streaming"] if self.key == MYELIN else []
        arguments += ["-store", self.store] + NO_LIMITS
        arguments += ["-dir", os.path.join(self.folder, "store")] if self.store == "FILE" else []
        self.process, self.port = Server(self.key, self.path, arguments).start()

    def stop(self):
        if self.process:
            stop(self.process)
        self.process = None

    def bench(self, *arguments):
        """nats-streaming-server listens before it serves: asked again until it answers."""
        end = time.monotonic() + RUN_SECONDS
        while True:
            try:
                return bench(self.options.bench, [str(word) for word in arguments], self.port, self.process.pid)
            except RuntimeError as error:
                if "no streaming server" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def durable(options, key, path, in_flight):
    """Publishes a second; each is acknowledged when it is on disk."""
    messages = int((20_000 if in_flight == 1 else 400_000) * options.scale)
    if key in (FLOOR, RESERVED):
        more = ["--reserve"] if key == RESERVED else []
        return bench(options.bench, ["log-floor", "--dir", options.folder, "--publishers", "16", "--in-flight",
                                     str(in_flight), "--size", str(log_bytes(BYTES)), "--messages",
                                     str(messages)] + more)["messages_per_s"]
    with Run(options, key, path, "FILE") as run:
        return run.bench("stan-pub", "--publishers", 16, "--in-flight", in_flight, "--size", BYTES, "--messages",
                         messages, "--warmup", messages // 10)["messages_per_s"]


def memory_flow(options, key, path):
    """From a publisher to the store, the acknowledgement and one subscriber: messages a second, CPU ns for each."""
    with Run(options, key, path, "MEMORY") as run:
        report = run.bench("stan", "--messages", int((1_000_000 if key == MYELIN else 200_000) * options.scale),
                           "--size", 16, "--warmup", int(20_000 * options.scale))
        return report["messages_per_s"], report["server_cpu_ns_per_message"]


def replay(options, key, path, store):
    """What is stored, to a new subscriber: deliveries a second, CPU ns for each."""
    messages = int((2_000_000 if key == MYELIN else 200_000) * options.scale)
    with Run(options, key, path, store) as run:
        run.bench("stan-pub", "--messages", messages, "--size", 128)
        report = run.bench("stan-sub", "--messages", messages, "--max-in-flight", 16384)
        return report["deliveries_per_s"], report["server_cpu_ns_per_delivery"]


def restart(options, key, path):
    """CPU seconds from the start until a channel with all its messages answers, and bytes of memory for each message,
    against a server that has one: when they have just been stored, and after the start."""
    messages = int((10_000_000 if key == MYELIN else 1_000_000) * options.scale)
    with Run(options, key, path, "FILE") as run:
        run.bench("stan-pub", "--messages", 1)
        empty = own_memory(run.process.pid)
        run.bench("stan-pub", "--messages", messages, "--size", 16)
        stored = own_memory(run.process.pid)
        run.stop()
        run.start()
        run.bench("stan-pub", "--messages", 1)
        return cpu_ns(run.process.pid) / 1e9, (stored - empty) / messages, (own_memory(run.process.pid) - empty) / messages


class Line:
    def __init__(self, title, unit, least=None, most=None, of_floor=None):
        self.title, self.unit, self.least, self.most, self.of_floor = title, unit, least, most, of_floor

    def verdict(self, values):
        mine = values.get(MYELIN)
        if mine is None:
            return ""
        words = []
        if OLD in values:
            words.append(f"{MYELIN}/{OLD} {mine / values[OLD]:.2f}")
        if self.of_floor and FLOOR in values:
            ratio = mine / values[FLOOR]
            words.append(f"{MYELIN}/floor {ratio:.2f}, aim >= {self.of_floor}: {'met' if ratio >= self.of_floor else 'MISSED'}")
        if self.least:
            words.append(f"aim >= {self.least:,}: {'met' if mine >= self.least else 'MISSED'}")
        if self.most:
            words.append(f"aim <= {self.most:,}: {'met' if mine <= self.most else 'MISSED'}")
        return "; ".join(words)


def each_alone(function):
    return lambda options, key, path: (function(options, key, path),)


WORKLOADS = {
    "durable": (each_alone(lambda *a: durable(*a, 1)), True,
                [Line("16 publishers, one message each under way, 256 B, durable", "messages/s", of_floor=0.75)]),
    "durable_64": (each_alone(lambda *a: durable(*a, 64)), True,
                   [Line("the same, 64 under way each", "messages/s", of_floor=0.75)]),
    "memory": (memory_flow, False, [Line("memory store, 1 to 1, 16 B", "messages/s", least=500_000),
                                    Line("memory store, 1 to 1, 16 B: CPU", "ns/message")]),
    "replay_memory": (lambda *a: replay(*a, "MEMORY"), False,
                      [Line("replay, memory store, 128 B", "messages/s", least=1_000_000),
                       Line("replay, memory store, 128 B: CPU", "ns/message")]),
    "replay_file": (lambda *a: replay(*a, "FILE"), False,
                    [Line("replay, file store, 128 B", "messages/s", least=1_000_000),
                     Line("replay, file store, 128 B: CPU", "ns/message")]),
    "restart": (restart, False,
                [Line("start with 10 million messages (1 million: nats-streaming): CPU", "s", most=5),
                 Line("memory for each of them, just stored", "bytes", most=24),
                 Line("memory for each of them, after the start", "bytes", most=24)]),
}


def options_parse():
    parser = argparse.ArgumentParser(description="NATS Streaming side by side; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--nats-streaming", default="build/nats-streaming/nats-streaming-server",
                        help="`make streaming-nats` builds it; left out when it is not there")
    parser.add_argument("--folder", default="build", help="where stores and the floor's file are: the disk that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all message counts")
    parser.add_argument("--only", help="workloads to run, with commas between: " + ", ".join(WORKLOADS))
    parser.add_argument("--json", help="where all figures go")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(WORKLOADS)
    if any(name not in WORKLOADS for name in options.only) or options.rounds < 1 or options.scale <= 0:
        parser.error(f"workloads are {', '.join(WORKLOADS)}; rounds and scale are above 0")
    return options


def main():
    options = options_parse()
    servers = [(key, path) for key, path in ((MYELIN, options.myelin), (OLD, options.nats_streaming))
               if os.access(path, os.X_OK)]
    results, failed = {}, False
    for name in options.only:
        function, has_floor, lines = WORKLOADS[name]
        runs = servers + ([(FLOOR, None), (RESERVED, None)] if has_floor else [])
        values = {key: [] for key, _ in runs}
        for number in range(options.rounds if name != "restart" else 1):
            for key, path in runs[number % len(runs):] + runs[:number % len(runs)]:
                print(f"{name}, round {number + 1}, {key}", file=sys.stderr)
                try:
                    values[key].append(function(options, key, path))
                except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                    print(f"streaming: {name} on {key} failed: {error}", file=sys.stderr)
                    failed = True
        for i, line in enumerate(lines):
            medians = {key: statistics.median(value[i] for value in all_) for key, all_ in values.items() if all_}
            figures = "  ".join(f"{key} {value:,.{0 if value >= 1000 else 2}f}" for key, value in medians.items())
            print(f"{line.title}, {line.unit}: {figures}  {line.verdict(medians)}".rstrip(), flush=True)
            results[line.title] = medians
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(results, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
