#!/usr/bin/env python3
"""bench/streaming_cluster.py - clustered streaming with real processes: three nodes of one binary on one disk.

What is measured: durable publishes a second against one server without a cluster, bytes that a replica writes for each
of the messages', the time from the kill of the leader to the next acknowledgement, and how fast the leader is while a
node that was away comes back by a snapshot. Each run is on fresh processes in a fresh folder below --folder; the table
shows medians. See docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import json
import os
import queue
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
from cluster_client import free_ports  # noqa: E402
from compare import MYELIN, stop  # noqa: E402
from streaming import Run, bench  # noqa: E402
from stan_client import Nats, Stan  # noqa: E402

WAIT_SECONDS = 60
CATCH_UP_SECONDS = 600
NODES = ("a", "b", "c")
DEFAULT_TIMEOUTS = ""
FAST_TIMEOUTS = ('raft_heartbeat_timeout: "200ms", raft_election_timeout: "200ms", raft_lease_timeout: "100ms", '
                 'raft_commit_timeout: "20ms",')


def disk_bytes(folder):
    """What the disk below a folder has written, for everybody."""
    device = os.stat(folder).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="ascii") as file:
        return int(file.read().split()[6]) * 512


def wait_for(predicate, what, seconds=WAIT_SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = predicate()
        if result:
            return result
        time.sleep(0.005)
    raise RuntimeError(f"{what}: not within {seconds} s")


class Node:
    def __init__(self, cluster, name, ports):
        self.cluster, self.name = cluster, name
        self.port, self.http, self.route = ports
        self.folder = os.path.join(cluster.folder if name == NODES[0] else cluster.followers, name)
        self.process = None

    def start(self):
        path = self.folder + ".conf"
        routes = ", ".join(f"nats://127.0.0.1:{node.route}" for node in self.cluster.nodes)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""listen: "127.0.0.1:{self.port}"
http: "127.0.0.1:{self.http}"
server_name: {self.name}
cluster {{ name: net, listen: "127.0.0.1:{self.route}", routes: [{routes}] }}
streaming {{ store: FILE, dir: "{self.folder}", store_limits {{ max_msgs: 0, max_bytes: 0 }}
  cluster {{ node_id: {self.name}, peers: [{", ".join(NODES)}], {self.cluster.more} }} }}
""")
        with open(self.folder + ".log", "ab") as log:
            self.process = subprocess.Popen([self.cluster.options.myelin, "-c", path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def page(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/streaming/serverz", timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def log_bytes(self):
        """Of its write-ahead log, records and indexes."""
        done = subprocess.run([self.cluster.options.myelin, "store", "verify", self.folder], capture_output=True,
                              text=True, timeout=WAIT_SECONDS, check=True)
        return int(re.search(r"(\d+) bytes", done.stdout).group(1))


class Cluster:
    """Nodes that route to each other; all vote when the block begins."""

    def __init__(self, options, more=DEFAULT_TIMEOUTS):
        self.options, self.more = options, more
        self.folder = tempfile.mkdtemp(prefix="myelin-bench-", dir=options.folder)
        self.followers = tempfile.mkdtemp(prefix="myelin-bench-", dir=options.followers or options.folder)
        ports = free_ports(3 * len(NODES))
        self.nodes = []
        for i, name in enumerate(NODES):
            self.nodes.append(Node(self, name, ports[3 * i:3 * i + 3]))

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            wait_for(lambda: len([m for m in self.leader().page().get("raft", {}).get("members", [])
                                  if m["voter"] and m.get("lag", 0) == 0]) == len(NODES), "all vote")
            if self.options.followers:
                self.lead(self.nodes[0])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            if node.process is not None:
                stop(node.process)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.followers, ignore_errors=True)

    def lead(self, wanted):
        """Who leads and is not wanted ends, which hands over to whoever is furthest, and comes back."""
        while (leader := self.leader()) is not wanted:
            stop(leader.process)
            self.leader()
            leader.start()
            self.level()

    def leader(self):
        return wait_for(lambda: next((node for node in self.nodes if node.process.poll() is None
                                      and node.page().get("role") == "Leader"), None), "a leader")

    def bench(self, *arguments):
        """Through the leader, as soon as somebody serves."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return bench(self.options.bench, [str(word) for word in arguments], self.leader().port,
                             self.leader().process.pid)
            except RuntimeError as error:
                if "streaming server" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def level(self):
        """All have applied the same."""
        def same():
            pages = [node.page().get("raft", {}) for node in self.nodes]
            return len({page.get("applied_index") for page in pages}) == 1 and all(
                "applied_index" in page and page["applied_index"] == page.get("last_index") for page in pages)
        wait_for(same, "all nodes have the same")


# ---- publishes a second ----

def durable(options, in_flight):
    messages = int((10_000 if in_flight == 1 else 200_000) * options.scale)
    words = ["stan-pub", "--publishers", 16, "--in-flight", in_flight, "--size", 256, "--messages", messages,
             "--warmup", messages // 10]
    with Run(options, MYELIN, options.myelin, "FILE") as run:
        alone = run.bench(*words)["messages_per_s"]
    with Cluster(options) as cluster:
        replicated = cluster.bench(*words)["messages_per_s"]
    return {"alone": alone, "replicated": replicated, "ratio": replicated / alone}


# ---- bytes ----

def written(options, in_flight):
    """For each byte of the messages: of the log that is longest, and of the disk for each replica. The disk writes whole
    blocks, those of small groups again and again, and zeros ahead (docs/store.md 3)."""
    messages, size = int(50_000 * options.scale), 1024
    with Cluster(options) as cluster:
        cluster.bench("stan-pub", "--messages", 1, "--size", size)
        cluster.level()
        log, disk = [node.log_bytes() for node in cluster.nodes], disk_bytes(options.folder)
        cluster.bench("stan-pub", "--publishers", 16, "--in-flight", in_flight, "--size", size, "--messages", messages)
        cluster.level()
        payload = messages * size
        return {"log": max((node.log_bytes() - before) / payload for node, before in zip(cluster.nodes, log)),
                "disk": (disk_bytes(options.folder) - disk) / payload / len(NODES)}


# ---- failover ----

class Publisher(threading.Thread):
    """One message after the other through a node that stays; remembers when each was acknowledged."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = Stan(Nats(port), "bench", timeout=5)
        self.acknowledged = []
        self.ends = False
        self.start()

    def run(self):
        number = 0
        while not self.ends:
            number += 1
            try:
                if not self.client.publish_later("bench", b"%d" % number).get(timeout=0.02):
                    self.acknowledged.append(time.monotonic())
            except queue.Empty:  # it went to a leader that is no more, or to nobody
                pass

    def wait(self, since):
        return wait_for(lambda: next((t for t in self.acknowledged[-50:] if t > since), None), "an acknowledgement")


def failover(options, more):
    """Seconds, each of one kill."""
    times = []
    for _ in range(options.kills):
        with Cluster(options, more) as cluster:
            leader = cluster.leader()
            follower = next(node for node in cluster.nodes if node is not leader)
            cluster.bench("stan-pub", "--messages", 1)
            publisher = Publisher(follower.port)
            publisher.wait(time.monotonic())
            begin = time.monotonic()
            leader.process.send_signal(signal.SIGKILL)
            leader.process.wait()
            times.append(publisher.wait(time.monotonic()) - begin)  # what the old leader said before is not counted
            publisher.ends = True
    return {"median": statistics.median(times), "most": max(times)}


# ---- catching up ----

def rate(cluster, seconds, words):
    return cluster.bench(*words, "--duration", seconds)["messages_per_s"]


def catch_up(options, in_flight):
    """A follower is away while messages come that only a snapshot and a transfer of messages can bring."""
    size, megabytes = 1024, int(options.behind * options.scale) >> 20
    words = ["stan-pub", "--publishers", 16, "--size", size, "--in-flight"]
    with Cluster(options, "trailing_logs: 1000, snapshot_entries: 5000,") as cluster:
        cluster.bench(*words, 16, "--messages", 1000)
        leader = cluster.leader()
        away = next(node for node in cluster.nodes if node is not leader)
        away.process.send_signal(signal.SIGKILL)
        away.process.wait()
        cluster.bench(*words, 16, "--messages", megabytes * 1024 * 1024 // size)
        words.append(in_flight)
        before = rate(cluster, 5, words)
        begin, during = time.monotonic(), []
        applied = leader.page()["raft"]["applied_index"]
        away.start()
        done = threading.Event()

        def back():
            try:
                wait_for(lambda: away.page().get("raft", {}).get("applied_index", 0) >= applied, "the node is back",
                         CATCH_UP_SECONDS)
                during.append(time.monotonic() - begin)
            finally:
                done.set()

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        rates = []
        while not done.is_set():
            rates.append(rate(cluster, 1, words))
        thread.join()
        if not during:
            raise RuntimeError(f"the node is not back after {CATCH_UP_SECONDS} s")
        return {"seconds": during[0], "MB/s": megabytes / during[0], "rate": statistics.mean(rates) / before}


WORKLOADS = {
    "durable": ("durable publishes of 256 B, 16 publishers, one each under way (messages/s)", lambda o: durable(o, 1)),
    "durable_64": ("the same, 64 each under way", lambda o: durable(o, 64)),
    "bytes": ("bytes of a replica for each of 1 KiB messages, 16 publishers, one each under way", lambda o: written(o, 1)),
    "bytes_64": ("the same, 64 each under way", lambda o: written(o, 64)),
    "failover": ("leader killed to next acknowledgement (s), default timeouts", lambda o: failover(o, DEFAULT_TIMEOUTS)),
    "failover_fast": ("the same, fast timeouts", lambda o: failover(o, FAST_TIMEOUTS)),
    "catch_up": ("a node that lacks 512 MB (--behind, times --scale) of 1 KiB messages: until it is back, and the leader's rate "
                 "meanwhile, of 16 publishers with one message each under way", lambda o: catch_up(o, 1)),
    "catch_up_16": ("the same, 16 each under way", lambda o: catch_up(o, 16)),
}


def bytes_of(text):
    match = re.fullmatch(r"(\d+)(MB|GB)", text)
    if match is None:
        raise argparse.ArgumentTypeError("a number with MB or GB behind it")
    return int(match[1]) << {"MB": 20, "GB": 30}[match[2]]


def options_parse():
    parser = argparse.ArgumentParser(description="Clustered streaming; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--folder", default="build", help="where stores are: the disk that is measured")
    parser.add_argument("--followers", help="where the stores of the two that follow are, if not there: a tmpfs tells what a "
                        "shared disk costs")
    parser.add_argument("--behind", type=bytes_of, default="512MB", help="what the node that was away lacks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5, help="of a leader, in each round")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all message counts")
    parser.add_argument("--only", help="workloads to run, with commas between: " + ", ".join(WORKLOADS))
    parser.add_argument("--json", help="where all figures go")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(WORKLOADS)
    options.myelin = os.path.abspath(options.myelin)
    if any(name not in WORKLOADS for name in options.only) or options.rounds < 1 or options.kills < 1 or options.scale <= 0:
        parser.error(f"workloads are {', '.join(WORKLOADS)}; rounds, kills and scale are above 0")
    return options


def main():
    options = options_parse()
    results, failed = {}, False
    for name in options.only:
        title, function = WORKLOADS[name]
        values = []
        for number in range(options.rounds):
            print(f"{name}, round {number + 1}", file=sys.stderr)
            try:
                values.append(function(options))
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"streaming_cluster: {name} failed: {error}", file=sys.stderr)
                failed = True
        if values:
            results[name] = {key: statistics.median(value[key] for value in values) for key in values[0]}
            figures = "  ".join(f"{key} {value:,.{0 if value >= 1000 else 3}f}" for key, value in results[name].items())
            print(f"{title}: {figures}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(results, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
