#!/usr/bin/env python3
"""Clustered NATS Streaming with real processes (docs/streaming-cluster.md 8): nodes on loopback with routes between
them, and a hub without streaming to which clients are connected, so that a node's death is no client's.

usage: test_streaming_cluster.py SERVER_BINARY [--long] [--only WORD] [--kills N] [--seed N] [--jobs N]
"""
import argparse
import concurrent.futures
import itertools
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import stan_client
from cluster_client import free_ports
from stan_client import FIRST, Nats, Refused, Stan

WAIT = 40
CASES = []
OPTIONS = argparse.Namespace(binary=None, kills=3, seed=1, jobs=4)
mine = threading.local()  # .worlds: of the case that runs in this thread
ports_lock = threading.Lock()


class Failure(Exception):
    pass


def case(function=None, long=False):
    def add(f):
        CASES.append((f, long))
        return f
    return add(function) if function else add


def wait_for(predicate, what, seconds=WAIT):
    """What the predicate gives, once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited in vain: {what}")
        time.sleep(0.02)


def equal(is_, wanted, what):
    if is_ != wanted:
        raise Failure(f"{what}: {is_!r}, not {wanted!r}")


class Node:
    """A server, with streaming or (the hub) without. Its ports and its folder outlive its process."""

    def __init__(self, world, name, ports, streams=True):
        self.world, self.name, self.streams = world, name, streams
        self.port, self.http, self.route = ports
        self.folder = os.path.join(world.folder, name)
        self.log_path = self.folder + ".log"
        self.process = None
        self.killed = False
        self.from_byte = 0

    def start(self, cluster="", flags=()):
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self.world.routes)
        text = f"""listen: "127.0.0.1:{self.port}"
http: "127.0.0.1:{self.http}"
server_name: {self.name}
cluster {{ name: net, listen: "127.0.0.1:{self.route}", routes: [{routes}] }}
"""
        if self.streams:
            text += f"""streaming {{ store: FILE, dir: "{self.folder}", hb_interval: "60s", {self.world.streaming}
  file {{ slice_max_bytes: 8MB }}
  cluster {{ node_id: {self.name}, {cluster or self.world.cluster}
    raft_logging: true, raft_heartbeat_timeout: "{self.world.timeout_ms}ms", raft_election_timeout: "{self.world.timeout_ms}ms"
    raft_lease_timeout: "{self.world.timeout_ms}ms" }} }}
"""
        path = self.folder + ".conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with open(self.log_path, "ab") as log:
            self.from_byte = log.tell()
            self.killed = False
            self.process = subprocess.Popen([OPTIONS.binary, "-c", path, *flags], stdout=log, stderr=log)
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.from_byte)
            return file.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        self.killed = True
        if self.alive():
            self.process.send_signal(number)
        return self.process.wait(timeout=WAIT)

    def wipe(self):
        shutil.rmtree(self.folder)

    def page(self, path):
        """None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/streaming/{path}", timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def metrics(self):
        """{name: the last value}"""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name.split("{")[0]: float(value) for name, value in lines if value}

    def server(self):
        return (self.page("serverz") if self.alive() else None) or {}

    def leads(self):
        page = self.server()
        return page.get("role") == "Leader" and "finished leader promotion" in self.log()

    def applied(self):
        return self.server().get("raft", {}).get("applied_index", 0)

    def channel(self, name):
        page = self.page(f"channelsz?channel={name}") or {}
        return page.get("first_seq", 0), page.get("last_seq", 0), page.get("msgs", 0)


class World:
    """A hub, and nodes that are started by the case."""

    def __init__(self, names, cluster="", streaming="", timeout_ms=1500):
        self.folder = tempfile.mkdtemp(prefix="streaming-cluster-")
        self.streaming, self.timeout_ms = streaming, timeout_ms
        self.cluster = cluster or "peers: [" + ", ".join(names) + "], "
        with ports_lock:
            ports = free_ports(3 * (len(names) + 1))
        self.routes = ports[2::3]
        self.hub = Node(self, "hub", ports[:3], streams=False)
        self.nodes = [Node(self, name, ports[3 * i + 3:3 * i + 6]) for i, name in enumerate(names)]
        self.opened = []
        mine.worlds.append(self)
        self.hub.start()
        wait_for(lambda: "Server is ready" in self.hub.log(), "the hub")

    def start(self):
        """All, until all vote and have what the leader has."""
        for node in self.nodes:
            node.start()
        leader = self.leader()
        def whole():
            members = leader.server().get("raft", {}).get("members", [])
            return len(members) == len(self.nodes) and all(
                m["voter"] and m.get("lag", 0) == 0 for m in members)
        wait_for(whole, "all vote")
        return self.leader()

    def leader(self, but=None):
        def find():
            for node in self.nodes:
                if node.process is not None and not node.alive() and not node.killed:
                    raise Failure(f"{node.name} has ended:\n{node.log()}")
            leaders = [node for node in self.nodes if node is not but and node.alive() and node.leads()]
            return leaders[0] if leaders else None
        return wait_for(find, "a leader")

    def level(self, nodes=None):
        """All have applied what the first one has."""
        nodes = nodes or [node for node in self.nodes if node.alive()]
        def same():
            applied = [node.applied() for node in nodes]
            return applied[0] > 0 and len(set(applied)) == 1 and applied[0] == max(
                node.server().get("raft", {}).get("last_index", 0) for node in nodes)
        wait_for(same, "all nodes applied the same")

    def nats(self):
        nats = Nats(self.hub.port)
        self.opened.append(nats)
        return nats

    def stan(self, client_id, nats=None, **more):
        """Asks until the new leader answers, each time by another name: an answer that was lost was an answer."""
        nats = nats or self.nats()
        tries = itertools.count()
        def connect():
            try:
                return Stan(nats, f"{client_id}-{next(tries)}", timeout=3, **more)
            except Refused as refused:
                if str(refused) != "nobody":
                    raise
            return None
        return wait_for(connect, f"{client_id} connects")

    def end(self):
        for nats in self.opened:
            if not nats.closed:
                nats.close()
        for node in [self.hub, *self.nodes]:
            if node.process is not None:
                node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self):
        return "".join(f"--- {node.name}\n{tail(node.log_path)}" for node in self.nodes if node.process is not None)


def tail(path, lines=60):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join([line for line in file if "route" not in line.lower()][-lines:])


def publish(client, channel, data):
    """Until it is acknowledged: a leader that is lost answers with an error, or not at all."""
    def one():
        try:
            return not client.publish_later(channel, data).get(timeout=2)
        except queue.Empty:
            return False
    wait_for(one, f"{data!r} is acknowledged")


def publish_all(client, channel, texts):
    """Each until it is acknowledged: one that is published when a leader is lost may be there twice."""
    waiting = [(text, client.publish_later(channel, text)) for text in texts]
    for text, done in waiting:
        try:
            good = not done.get(timeout=5)
        except queue.Empty:
            good = False
        if not good:
            publish(client, channel, text)


def subscribe(client, channel, **more):
    def one():
        try:
            return client.subscribe(channel, **more)
        except (TypeError, ValueError): # no answer
            return None
    return wait_for(one, f"a subscription of {channel}")


def read_all(client, channel, last):
    """All messages of a channel, which must be dense and in order."""
    subscription = subscribe(client, channel, start=FIRST, in_flight=1000, auto=True)
    messages = []
    while not messages or messages[-1].sequence < last:
        message = subscription.next(WAIT)
        if not message.redelivered:
            messages.append(message)
    equal([m.sequence for m in messages], list(range(messages[0].sequence, messages[0].sequence + len(messages))),
          "sequences")
    return messages


# ---- load ----

class Publisher(threading.Thread):
    """Publishes numbers one after the other, and notes which were acknowledged. One that gets no answer in time, or an
    error, may be stored or not; it is not sent again."""

    def __init__(self, client, channel, window=16):
        super().__init__(daemon=True)
        self.client, self.channel, self.window = client, channel, window
        self.acknowledged, self.failed, self.errors = [], [], set()
        self.stopping = threading.Event()
        self.progress = 0

    def run(self):
        number, waiting = 0, []
        while not self.stopping.is_set() or waiting:
            while len(waiting) < self.window and not self.stopping.is_set():
                number += 1
                waiting.append((number, time.monotonic() + 1, self.client.publish_later(self.channel, b"%d" % number)))
            sent, until, done = waiting.pop(0)
            try:
                error = done.get(timeout=max(0.001, until - time.monotonic()))
            except queue.Empty:
                error = "nothing"
            if error:
                self.failed.append(sent)
                self.errors.add(error)
                self.stopping.wait(0.02)
            else:
                self.acknowledged.append(sent)
                self.progress += 1

    def moves(self, count=20):
        """So many more are acknowledged."""
        wanted = self.progress + count
        wait_for(lambda: self.progress >= wanted, "publishes are acknowledged")

    def stop(self):
        self.stopping.set()
        self.join(WAIT)


def check_published(messages, publisher):
    numbers = [int(m.data) for m in messages]
    if len(set(numbers)) != len(numbers):
        raise Failure("a publish is stored twice")
    missing = set(publisher.acknowledged) - set(numbers)
    if missing:
        raise Failure(f"{len(missing)} acknowledged publishes are lost: {sorted(missing)[:10]}")
    strange = set(numbers) - set(publisher.acknowledged) - set(publisher.failed)
    if strange:
        raise Failure(f"nobody published {sorted(strange)[:10]}")


# ---- cases ----

@case
def three_nodes_elect_one_leader_that_serves_and_all_keep_the_same():
    world = World(["a", "b", "c"])
    leader = world.start()
    client = world.stan("me")
    subscription = client.subscribe("foo", auto=True)
    client.publish_all("foo", [b"%d" % i for i in range(100)])
    equal([m.data for m in subscription.next_all(100)], [b"%d" % i for i in range(100)], "delivered")
    world.level()
    for node in world.nodes:
        equal(node.channel("foo"), (1, 100, 100), f"{node.name}'s channel")
        page = node.server()
        equal(page["state"], "CLUSTERED", "state")
        equal(page["node_id"], node.name, "node_id")
        equal(page["role"], "Leader" if node is leader else "Follower", "role")
        equal([m["voter"] for m in page["raft"]["members"]], [True] * 3, "members")
        metrics = node.metrics()
        equal(metrics["myelin_streaming_raft_leader"], float(node is leader), "leader in metrics")
        equal(metrics["myelin_streaming_raft_applied_index"], page["raft"]["applied_index"], "applied in metrics")
        equal(len([name for name in metrics if name.startswith("myelin_streaming_raft_peer_lag")]),
              int(node is leader), "lag in metrics")
    client.close()
    for node in world.nodes:
        node.kill(signal.SIGTERM)
        equal(look(node, "verify").split(", ")[3], "100 messages", "what the tool finds in the store")
        shown = look(node, "dump", "-channel", "foo").splitlines()
        equal([line.split()[1] for line in shown], [str(i) for i in range(1, 101)], "what the tool shows")
        equal([f'foo"\\x{len(str(i)):02x}{i}' in line for i, line in enumerate(shown)], [True] * 100, "and their data")
    return world


def look(node, *words):
    done = subprocess.run([OPTIONS.binary, "store", *words, node.folder], capture_output=True, text=True, timeout=WAIT,
                          check=False)
    equal((done.returncode, done.stderr), (0, ""), f"myelin store {words[0]}")
    return done.stdout


@case
def what_was_acknowledged_survives_each_death_of_a_leader():
    return kill_leaders(OPTIONS.kills)


@case(long=True)
def what_was_acknowledged_survives_many_deaths():
    return kill_leaders(20)


def kill_leaders(kills):
    world = World(["a", "b", "c"], cluster='peers: [a, b, c], trailing_logs: 50, snapshot_entries: 300, ')
    choice = random.Random(OPTIONS.seed)
    world.start()
    client = world.stan("publisher")
    publisher = Publisher(client, "foo")
    publisher.start()
    publisher.moves()
    for _ in range(kills):
        victim = world.leader()
        victim.kill(choice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        publisher.moves()
        victim.start()
        publisher.moves(choice.randrange(100))
    publisher.stop()
    for node in world.nodes:
        wait_for(lambda node=node: node.applied() > 0, f"{node.name} is back")
    world.level()
    last = {node.channel("foo")[1] for node in world.nodes}
    equal(len(last), 1, f"last sequences {last}")
    check_published(read_all(world.stan("reader"), "foo", last.pop()), publisher)
    return world


@case
def subscriptions_of_each_kind_go_on_with_the_next_leader():
    # A request whose answer is lost with a leader may have been done: the durable is there when it is asked again.
    world = World(["a", "b", "c"], streaming="replace_durable: true,")
    leader = world.start()
    client = world.stan("me")
    kinds = {"plain": {}, "durable": {"durable": "d"}, "group": {"group": "g"},
             "durable group": {"group": "h", "durable": "e"}}
    subscriptions = {name: client.subscribe("foo", ack_wait=2, **kind) for name, kind in kinds.items()}
    away = client.subscribe("foo", durable="away", ack_wait=2)
    client.publish_all("foo", [b"%d" % i for i in range(1, 11)])
    for subscription in [*subscriptions.values(), away]:
        for message in subscription.next_all(10):
            if message.sequence not in (3, 7):
                subscription.ack(message.sequence)
    away.end(close=True)
    client.publish("foo", b"11")
    for subscription in subscriptions.values():
        subscription.ack(wait_for_new(subscription, 11).sequence)
    client.nats.flush()
    world.level()
    told = wait_for(lambda: progress_known(world, leader), "what was acknowledged is known to all")
    leader.kill()
    world.leader(leader)
    publish(client, "foo", b"12")
    for name, subscription in subscriptions.items():
        seen = {}
        wait_for(lambda s=subscription, seen=seen: take(s, seen) and {3, 7, 12} <= set(seen), f"{name} goes on")
        equal(sorted((m.sequence, m.redelivered) for m in seen.values()), [(3, True), (7, True), (12, False)],
              f"{name}: what comes, as told before as {told}")
    again = subscribe(client, "foo", durable="away", ack_wait=2)
    seen = {}
    wait_for(lambda: take(again, seen) and {3, 7, 11, 12} <= set(seen), "the durable that was away")
    equal(sorted(seen), [3, 7, 11, 12], "the durable that was away")
    leader.start()
    world.level()
    equal(client.ping(), "", "ping")
    return world


def wait_for_new(subscription, sequence):
    while True:
        message = subscription.next()
        if message.sequence == sequence:
            return message


def take(subscription, seen):
    """Takes what is there, and acknowledges it."""
    while True:
        try:
            message = subscription.messages.get(timeout=0.02)
        except queue.Empty:
            return True
        seen[message.sequence] = message
        subscription.ack(message.sequence)


def progress_known(world, leader):
    """Each follower knows of each subscription only what is pending, as the leader does."""
    def pending(node):
        page = node.page("channelsz?channel=foo&subs=1") or {}
        return sorted((s.get("durable_name", ""), s.get("queue_name", ""), s["last_sent"], s["pending_count"])
                      for s in page.get("subscriptions") or [])
    wanted = pending(leader)
    known = all(pending(node) == wanted for node in world.nodes) and all(p[3] == 2 for p in wanted)
    return wanted if known else None


@case
def without_a_majority_nothing_moves_and_with_one_it_does():
    world = World(["a", "b", "c"])
    leader = world.start()
    client = world.stan("me")
    client.publish("foo", b"1")
    others = [node for node in world.nodes if node is not leader]
    for node in others:
        node.kill()
    wait_for(lambda: leader.server().get("role") != "Leader", "the leader steps down")
    wait_for(lambda: "finished leader stepdown actions" in leader.log(), "its log says so")
    if client.nats.request("_STAN.discover.test-cluster", b"", 2) is not None:
        raise Failure("a node without a majority answers")
    others[0].start()
    publish(client, "foo", b"2")
    others[1].start()
    for node in world.nodes: # all at once
        node.kill()
    for node in world.nodes:
        node.start()
    world.leader()
    publish(client, "foo", b"3")
    world.level()
    texts = [m.data for m in read_all(world.stan("reader"), "foo", world.nodes[0].channel("foo")[1])]
    equal([t for t in (b"1", b"2", b"3") if t in texts], [b"1", b"2", b"3"], "messages")
    return world


@case
def a_wiped_node_joins_anew_and_catches_up():
    world = World(["a", "b", "c"], cluster="peers: [a, b, c], trailing_logs: 5, snapshot_entries: 50, ")
    world.start()
    client = world.stan("me")
    durable = subscribe(client, "foo", durable="d", start=FIRST)
    publish_all(client, "foo", [b"%d" % i for i in range(200)])
    publish_all(client, "bar", [b"x" * 5000] * 120)
    durable.next_all(200)
    leader = world.leader()
    victim = next(node for node in world.nodes if node is not leader)
    other = next(node for node in world.nodes if node is not leader and node is not victim)
    before = raft_ids(world)[victim.name]
    victim.kill()
    victim.wipe()
    publish_all(client, "foo", [b"more"] * 20)
    victim.start()
    wait_for(lambda: victim.channel("foo") == other.channel("foo") and victim.channel("bar") == other.channel("bar"),
             "its messages are back")
    wait_for(lambda: voters(world) == 3, "it votes again")
    if before == raft_ids(world)[victim.name]:
        raise Failure("a wiped node came back with the id of its former life")
    world.level()
    leader.kill()  # the wiped one and the other are a majority
    publish(client, "foo", b"last")
    leader.start()
    world.level()
    equal(len({node.channel("foo") for node in world.nodes}), 1, "channels")
    texts = [m.data for m in read_all(world.stan("reader"), "foo", victim.channel("foo")[1])]
    equal(set(texts), {b"%d" % i for i in range(200)} | {b"more", b"last"}, "messages")
    return world


def members(world):
    """As the leader has them; none while nobody leads."""
    leaders = [page for page in (node.server() for node in world.nodes) if page.get("role") == "Leader"]
    return leaders[0].get("raft", {}).get("members", []) if leaders else []


def raft_ids(world):
    return {m["node_id"]: m["raft_id"] for m in wait_for(lambda: members(world), "members")}


def voters(world):
    return sum(m["voter"] for m in members(world))


def not_committed(world, nats, name):
    """A leader that nobody follows takes the change, and does not say that it is made. False: another one led by then."""
    leader = world.leader()
    others = [node for node in world.nodes if node.alive() and node is not leader]
    for node in others:
        node.process.send_signal(signal.SIGSTOP)
    answer = nats.request("_STAN.raft.test-cluster.node.add", name, 10)
    for node in others:
        node.process.send_signal(signal.SIGCONT)
    if answer == b"+OK":
        raise Failure("a change that is not committed is answered with +OK")
    wait_for(lambda: nats.request("_STAN.raft.test-cluster.node.remove", name, 5) == b"+OK", "taking it back")
    equal(name.decode() in raft_ids(world), False, "it is a member")
    return answer == b"-ERR adding node \"%s\": leadership lost while committing log" % name


@case
def a_seed_is_joined_and_nodes_come_and_go():
    world = World(["a", "b", "c", "d"], cluster="allow_add_remove_node: true, ")
    seed, b, c, d = world.nodes
    seed.start("bootstrap: true, allow_add_remove_node: true, ")
    world.leader()
    client = world.stan("me")
    publish_all(client, "foo", [b"x"] * 10)
    b.start()
    c.start()
    wait_for(lambda: voters(world) == 3, "three vote")
    for node in (b, c):
        wait_for(lambda node=node: node.channel("foo") == seed.channel("foo"), f"{node.name} has all")
    nats = world.nats()
    def ask(verb, name):
        return nats.request(f"_STAN.raft.test-cluster.node.{verb}", name, 5)
    wait_for(lambda: ask("add", b"") == b"-ERR adding node \"\": invalid node ID", "an empty name is refused")
    wait_for(lambda: ask("remove", b"nobody") == b"+OK", "removing a stranger")
    taken = itertools.count()
    wait_for(lambda: not_committed(world, nats, b"e%d" % next(taken)), "a change that cannot be committed is answered")
    wait_for(lambda: ask("add", b"d") == b"+OK", "adding")  # one change at a time, and a leader must be there
    d.start()
    wait_for(lambda: voters(world) == 4, "four vote")
    gone = c if world.leader() is b else b  # one that follows
    wait_for(lambda: ask("remove", gone.name.encode()) == b"+OK", "removing")
    wait_for(lambda: voters(world) == 3 and gone.name not in raft_ids(world), "three vote again")
    wait_for(lambda: "This node was removed from Raft group" in gone.log(), "who is removed is told")
    gone.kill()
    gone.start()
    wait_for(lambda: "This node was removed from Raft group" in gone.log(), "and again, when it stands for election")
    equal(gone.server().get("role"), "Follower", "its role")
    publish(client, "foo", b"y")
    wait_for(lambda: d.channel("foo") == seed.channel("foo") and d.channel("foo")[1] >= 11, "d has all")
    leader = world.leader()
    wait_for(lambda: ask("remove", leader.name.encode()) == b"+OK", "a leader removes itself")
    equal(leader.process.wait(timeout=WAIT), 0, "its exit code")
    leader.killed = True
    publish(client, "foo", b"z")  # the two others are a majority
    equal(leader.name in raft_ids(world), False, "the leader that has left is a member")
    wait_for(lambda: voters(world) == 2, "two vote")
    return world


def word_of(words, name):
    """The next word by which that node says how far it is."""
    while True:
        word = words.get(timeout=WAIT).data
        if word[9:] == name:
            return word


@case
def who_joins_is_not_counted_as_a_founder():
    """The first node is a client that says that there is a cluster, and is gone when the last one comes: of three founders
    one has an empty disk and one joins by another id, which is no majority."""
    world = World(["a", "b", "c"])
    founder, joiner = world.nodes[1:]
    nats = world.nats()
    found = "_STAN.raft.test-cluster.found"
    words = nats.subscribe(found)
    def joins(node):
        nats.publish(found, b"\x02" + bytes(8) + b"a")  # a member
        return [word for word in ("Joining", "Bootstrapping") if f"{word} Raft group" in node.log()]
    joiner.start()
    word_of(words, b"c")
    wait_for(lambda: joins(joiner), "the one that joins hears of the cluster")
    founder.start()
    word_of(words, b"b")
    for _ in range(2):  # it has heard the first one when the second comes, a second later
        word_of(words, b"c")
    equal("Bootstrapping" in founder.log(), False, "a founder, with somebody who joins")
    wait_for(lambda: joins(founder), "the other one hears of the cluster")
    equal(joins(founder), ["Joining"], "what it does")
    return world


@case
def a_leader_is_gone_once_and_only_by_its_own_id():
    """What comes late, about a leader of before, is not believed of the one that leads now; which lives, so that nobody
    votes for who is told that it has ended."""
    world = World(["a", "b", "c"])
    world.start()
    ids = raft_ids(world)
    nats = world.nats()
    found = "_STAN.raft.test-cluster.found"
    words = nats.subscribe(found)
    nobody = b"NATS/1.0 503\r\n\r\n"
    def heard(node):
        return node.log().count("the leader of Raft group test-cluster has ended")
    def say(*suffixes):
        follower = next(node for node in world.nodes if node is not world.leader())
        for suffix in suffixes:
            subject = f"_STAN.raft.test-cluster.gone.{ids[follower.name]}{suffix}"
            nats.send(f"HPUB {subject} {len(nobody)} {len(nobody)}\r\n".encode() + nobody + b"\r\n")
        nats.publish(found, bytes(9) + b"z")  # one that is new: who answers has taken what came before
        word_of(words, follower.name.encode())
        return sum(heard(node) for node in world.nodes)
    equal(say("", f".{1:016x}"), 0, "how often a node that is none has ended")
    wait_for(lambda: say(*[f".{ids[world.leader().name]}"] * 2), "the leader has ended")
    say(f".{ids[world.leader().name]}")
    for node in world.nodes:
        count, terms = heard(node), set(re.findall(r"raft: \w+ in term (\d+)", node.log()))
        equal(count <= len(terms - {"1"}), True, f"{count} times, in terms {terms}")  # the first one has no leader
    return world


@case(long=True)
def a_joiner_whose_leader_dies_before_it_is_committed_asks_the_next():
    world = World(["a", "b", "c", "d"], cluster="peers: [a, b, c], ", timeout_ms=4000)
    founders, d = world.nodes[:3], world.nodes[3]
    for node in founders:
        node.start()
    wait_for(lambda: voters(world) == 3, "three vote")
    leader = world.leader()
    others = [node for node in founders if node is not leader]
    for node in others:  # the leader goes on for its lease
        node.kill()
    d.start()  # it finds that the others exist, and joins
    wait_for(lambda: d.server().get("raft", {}).get("last_index", 0) > 0, "the leader has begun to tell it")
    leader.kill()
    for node in others:
        node.start()
    wait_for(lambda: voters(world) == 4, "it votes, beside the one that died and the others")
    return world


@case
def two_seeds_end_with_an_error():
    world = World(["a", "b"], cluster="bootstrap: true, ")
    for node in world.nodes:
        node.start()
    for node, other in (world.nodes, world.nodes[::-1]):
        equal(node.process.wait(timeout=WAIT), 1, "exit code")
        sentence = f"Server {other.name} was also started with -cluster_bootstrap"
        if sentence not in node.log():
            raise Failure(f"{node.name} does not say: {sentence}")
    return world


@case
def who_finds_no_cluster_or_a_store_that_served_alone_ends_with_an_error():
    world = World(["a", "b"], cluster="sync: true, ")
    node, alone = world.nodes
    node.start()
    alone.folder_conf = alone.folder + ".alone"
    process = subprocess.Popen([OPTIONS.binary, "-a", "127.0.0.1", "-p", "-1", "--streaming", "-st", "FILE", "-dir",
                                alone.folder], stdout=open(alone.folder_conf, "wb"), stderr=subprocess.STDOUT)
    wait_for(lambda: "Streaming Server is ready" in tail(alone.folder_conf), "the one alone")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=WAIT)
    alone.start()
    equal(alone.process.wait(timeout=WAIT) != 0, True, "exit code")
    if "stan: cannot restart server in clustered mode if it was not previously clustered" not in alone.log():
        raise Failure("the other does not say why")
    equal(node.process.wait(timeout=WAIT), 1, "exit code")
    if "failed to join Raft group test-cluster" not in node.log():
        raise Failure("it does not say why")
    return world


# ---- running them ----

def run(function):
    """What it prints, and whether it passed."""
    mine.worlds = []
    begin = time.monotonic()
    name = function.__name__.replace("_", " ")
    try:
        function()
        return f"ok   {name}  ({time.monotonic() - begin:.1f} s)", True
    except Exception as problem:  # whatever it is, the nodes' logs explain it
        logs = "".join(world.logs() for world in mine.worlds)
        return f"FAIL {name}: {type(problem).__name__}: {problem}\n{logs}", False
    finally:
        for world in mine.worlds:
            world.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.parse_args(namespace=OPTIONS)
    OPTIONS.binary = os.path.abspath(OPTIONS.binary)
    stan_client.WAIT = WAIT
    print(f"seed {OPTIONS.seed}", flush=True)
    chosen = [f for f, long in CASES if OPTIONS.only in f.__name__ and (OPTIONS.long or not long)]
    passed = 0
    # They wait for elections more than they work.
    with concurrent.futures.ThreadPoolExecutor(OPTIONS.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, f) for f in chosen]):
            text, good = done.result()
            passed += good
            print(text, flush=True)
    print(f"{passed} of {len(chosen)} cases passed", flush=True)
    return 0 if passed == len(chosen) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
