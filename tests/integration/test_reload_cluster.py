#!/usr/bin/env python3
"""tests/integration/test_reload_cluster.py SERVER [--nats PATH] [--newest PATH] - what a reload changes of `cluster {}`.

First a scripted peer sees what one server says and does when its file changes; then nodes of one kind and mixed are
reloaded while messages flow between those whom the change does not concern: none of these is lost, doubled or late.
With a nats-server as SERVER the rows that it knows prove themselves.
"""
import argparse
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import ACCOUNTS, WAIT_SECONDS, Client, Failure, Node, free_ports, pump  # noqa: E402
from test_routes import Peer, World, connect_line, expect, expect_refused, info_line, linked  # noqa: E402


class Listener:
    """Another server's route port, scripted."""

    def __init__(self, world, letter):
        self.world, self.name = world, letter * 56
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_SECONDS)
        self.port = self.socket.getsockname()[1]
        world.closers.append(self.socket.close)

    def greet(self, **more):
        """The next connection, as far as the server's CONNECT."""
        peer = Peer(self.socket.accept()[0])
        self.world.peers.append(peer)
        peer.connect = json.loads(peer.until(r"^CONNECT (.*)$").group(1))
        peer.send(info_line(self.name, port=self.port, **more))
        return peer

    def accept(self, **more):
        """A route that is registered."""
        peer = self.greet(**more)
        expect("open", True, peer.open_after(b""))
        return peer

    def dialled(self):
        return bool(select.select([self.socket], [], [], 0)[0])


def reloaded(node, *words, **changes):
    """The file changes and is taken; the log has those words, in that order."""
    for name, value in changes.items():
        setattr(node, name, value)
    taken, said = node.reload()
    expect(f"taken with {changes}: {said}", True, taken)
    at = 0
    for word in words:
        found = re.compile(word).search(said, at)
        if not found:
            raise Failure(f"not said: {word} in {said}")
        at = found.end()
    return said


def refused(node, words, **changes):
    before = {name: getattr(node, name) for name in changes}
    for name, value in changes.items():
        setattr(node, name, value)
    taken, said = node.reload()
    expect(f"taken with {changes}: {said}", False, taken)
    if not re.search(words, said):
        raise Failure(f"not said: {words} in {said}")
    for name, value in before.items():
        setattr(node, name, value)


def burst_until(peer, client, marker):
    """What the peer is told up to the interest in a new subject."""
    client.subscribe(marker)
    lines = []
    while True:
        line = peer.line()
        if line is None:
            raise Failure(f"the route ended: {lines[-5:]}")
        if marker.encode() in line:
            return lines
        lines.append(line)


# ---- one server and scripted peers ----

def case_what_is_refused(world):
    node = world.node
    other = free_ports(1)[0]
    real, node.cluster_port = node.cluster_port, other
    refused(node, f"config reload not supported for cluster port: old={real}, new={other}")
    node.cluster_port = real
    if world.ours:  # nats-server reads a block in any order
        refused(node, "config reload not supported for cluster host: old=127.0.0.1, new=127.0.0.2", extra=' host: "127.0.0.2"')
    refused(node, "invalid Cluster.Advertise value of a:b:c, err=", extra=' cluster_advertise: "a:b:c"')
    refused(node, "parse|error|Unknown|unknown", extra=" nonsense: 5")
    peer = world.member()
    expect("open", True, peer.open_after(b""))


def case_routes_come_and_go(world):
    """A removed one is closed and not dialled any more, the others stay."""
    first, second, third = (Listener(world, letter) for letter in "FGH")
    reloaded(world.node, "Reloaded: cluster routes", routes=[first.port, second.port])
    one, other = first.accept(), second.accept()
    said = reloaded(world.node, "Removed route nats-route://127.0.0.1:%d" % first.port, "Reloaded: cluster routes",
                    routes=[third.port, second.port])
    expect("lines about the block", 0, len(re.findall(r"Reloaded: cluster\n", said)))
    one.ends()
    once = third.accept()
    once.close()  # it comes back a second later, and so would the first one
    again = third.accept()
    for peer in (again, other):
        expect("open", True, peer.open_after(b""))
    expect("the removed one is dialled", False, first.dialled())


def case_a_route_kept_for_a_dial_goes_with_it(world):
    """The other server's own route was there first, and is what the configured address has led to."""
    listener = Listener(world, "F")
    peer = world.member("F")
    reloaded(world.node, "Reloaded: cluster routes", routes=[listener.port])
    listener.greet().ends()  # it is one too many
    expect("open", True, peer.open_after(b""))
    reloaded(world.node, "Removed route ", "Reloaded: cluster routes", routes=[])
    peer.ends()
    expect("dialled again", False, listener.dialled())


def case_a_login_in_an_url_changes(world):
    listener = Listener(world, "F")
    world.node.login = "u:p@"
    reloaded(world.node, routes=[listener.port])
    peer = listener.accept()
    expect("login", ("u", "p"), (peer.connect["user"], peer.connect["pass"]))
    reloaded(world.node, "Removed route ", "Reloaded: cluster routes", login="u:q@")
    peer.ends()
    peer = listener.accept()
    expect("login", ("u", "q"), (peer.connect["user"], peer.connect["pass"]))


def case_a_dial_outlives_reloads(world):
    """What is dialled again was written in a file that is no longer in force."""
    listener = Listener(world, "F")
    reloaded(world.node, routes=[listener.port], login="somebody:secret@")
    listener.accept().close()
    for i in range(3):
        reloaded(world.node, accounts=ACCOUNTS + f"max_control_line: {5000 + i}\n")
    peer = listener.accept()
    expect("login", ("somebody", "secret"), (peer.connect["user"], peer.connect["pass"]))


def case_the_name_changes(world):
    peer = world.member("F")
    reloaded(world.node, "Cluster name updated to D", "Reloaded: cluster\n", cluster_name="D")
    expect("open", True, peer.open_after(b""))
    expect_refused(world, connect_line() + info_line(),
                   'Rejecting connection, cluster name "C" does not match "D"')
    newcomer = world.dial()
    newcomer.send(connect_line("G" * 56, cluster="D") + info_line("G" * 56, cluster="D"))
    expect("open", True, newcomer.open_after(b""))


def ours_addresses_are_told_again(world):
    """nats-server tells only those who come later."""
    client = world.client()
    peer = world.member("F", connect_urls=["10.9.8.7:4222"])
    pump([client], lambda: b"10.9.8.7:4222" in client.info, client.flush)
    reloaded(world.node, "Reloaded: cluster\n", extra=' cluster_advertise: "1.2.3.4:5"')
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("address", ("1.2.3.4", 5), (info["host"], info["port"]))
    reloaded(world.node, "Reloaded: cluster\n", extra=" no_advertise: true")
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("address", ("127.0.0.1", world.node.cluster_port), (info["host"], info["port"]))
    expect("URLs", None, info.get("connect_urls"))
    pump([client], lambda: b"connect_urls" not in client.info, client.flush)
    reloaded(world.node, "Reloaded: cluster\n", "Reloaded server", extra="")
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("URLs", [f"127.0.0.1:{world.node.port}"], info["connect_urls"])
    pump([client], lambda: b"10.9.8.7:4222" in client.info, client.flush)
    peer.send(info_line("F" * 56, connect_urls=["10.9.8.7:5222"]))  # it was reloaded, too
    pump([client], lambda: b"10.9.8.7:5222" in client.info and b"10.9.8.7:4222" not in client.info, client.flush)


def ours_pings_of_a_route_change(world):
    peer = world.member("F")
    reloaded(world.node, extra=' ping_interval: "100ms", ping_max: 5')
    for _ in range(3):
        while b"PING\r\n" not in peer.buffer:
            peer.buffer += peer.socket.recv(1 << 16)
        peer.buffer = peer.buffer.split(b"PING\r\n", 1)[1]
        peer.send(b"PONG\r\n")


# ---- several servers, and traffic ----

class Flow:
    """Messages that never stop from one node to another; each comes once, in order."""

    def __init__(self, sender, receiver, user="app"):
        self.subject = "flow.%d" % id(self)
        self.receiver, self.sender = Client(receiver, user), Client(sender, user)
        self.sid = self.receiver.subscribe(self.subject)
        self.problem, self.stopping, self.sent = None, threading.Event(), 0
        probe = self.receiver.subscribe(self.subject + ".probe")
        pump([self.receiver], lambda: any(m.sid == probe for m in self.receiver.messages),
             lambda: self.sender.publish(self.subject + ".probe", b""))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                for _ in range(20):
                    self.sender.publish(self.subject, b"%d" % self.sent)
                    self.sent += 1
                pump([self.sender, self.receiver], lambda: self.count() >= self.sent)
        except (Failure, OSError) as failure:
            self.problem = f"the flow: {failure}, {self.count()} of {self.sent}"

    def count(self):
        return sum(1 for m in self.receiver.messages if m.sid == self.sid)

    def finish(self):
        self.stopping.set()
        self.thread.join(2 * WAIT_SECONDS)
        got = [int(m.body) for m in self.receiver.messages if m.sid == self.sid]
        if self.problem or got != list(range(self.sent)) or self.receiver.closed or self.sender.closed:
            raise Failure(self.problem or f"the flow: {len(got)} of {self.sent}, in order: {got == sorted(got)}")
        self.receiver.close()
        self.sender.close()


class Nodes:
    """So many servers; which dials which is the scenario's to say."""

    def __init__(self, paths, extra="", accounts=ACCOUNTS, routes=()):
        ports = free_ports(2 * len(paths))
        self.all = []
        for i, path in enumerate(paths):
            ours = "myelin" in os.path.basename(path)
            node = Node(path, f"n{i}", ports[2 * i], ports[2 * i + 1], ["--shards", "3"] if ours else [], extra, accounts)
            node.ours = ours
            self.all.append(node)
        for one, other in routes:
            self.all[one].routes.append(self.all[other].cluster_port)

    def __enter__(self):
        try:
            for node in self.all:
                node.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self.all

    def __exit__(self, kind, value, trace):
        for node in self.all:
            if kind is not None and node.process is not None:
                print(f"---- {node.name} ({node.path})\n{node.said()[-3000:]}", file=sys.stderr)
            code = node.stop(signal.SIGINT if kind is None else signal.SIGKILL)
            if kind is None and code not in (0, 1):
                raise Failure(f"{node.name} ended with {code}")


def unlinked(one, other):
    """Until messages of one do not reach the other any more; the clients stay where they are."""
    a, b = Client(one), Client(other)
    sid = b.subscribe("unlinked")
    count = [0, 0]

    def gone():
        arrived = len([m for m in b.messages if m.sid == sid])
        over = count[1] > 2 and arrived == count[0]
        return over

    def probe():
        arrived = len([m for m in b.messages if m.sid == sid])
        count[1] = count[1] + 1 if arrived == count[0] else 0
        count[0] = arrived
        a.publish("unlinked", b"")
        a.flush()
        b.flush()

    pump([a, b], gone, probe)
    a.close()
    b.close()


def nodes_join_and_leave(paths):
    """A third one is listed and left out again, at one of two nodes that have traffic; all know of it by gossip."""
    with Nodes(paths, routes=[(1, 0)]) as (one, other, third):
        linked(one, other)
        there, back = Flow(one, other), Flow(other, one)
        for _ in range(2):
            reloaded(one, "Reloaded: cluster routes", routes=[third.cluster_port])
            linked(one, third)
            linked(third, other)
            reloaded(one, "Removed route ", "Reloaded: cluster routes", routes=[])
            unlinked(one, third)
        for flow in (there, back):
            flow.finish()


# ---- running ----

def in_world(path, case, extra=""):
    world = World(path, extra)
    world.closers = []
    with world:
        try:
            case(world)
        finally:
            for close in world.closers:
                close()


def runs_of(arguments):
    path, ours = arguments.server, "myelin" in os.path.basename(arguments.server)
    runs = [(name, lambda f=case: in_world(path, f)) for name, case in sorted(globals().items())
            if name.startswith("case_") or (ours and name.startswith("ours_"))]
    m, n, x = path, arguments.nats, arguments.newest
    mixes = [("of one kind", [m, m, m])]
    if ours and n:
        mixes += [("beside nats-server", [m, n, n]), ("a nats-server beside", [m, m, n])]
    if ours and x:
        mixes += [("beside the newest", [m, x, m])]
    for title, paths in mixes:
        runs += [(f"{name} {title}", lambda f=scenario, p=paths: f(p)) for name, scenario in sorted(globals().items())
                 if name.startswith("nodes_")]
    return runs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--nats", default=shutil.which("nats-server"))
    parser.add_argument("--newest", default=None)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.server = os.path.abspath(arguments.server)
    passed = failed = 0
    for name, run in runs_of(arguments):
        if arguments.only not in name:
            continue
        began = time.monotonic()
        try:
            run()
            passed += 1
            print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAILED {name}: {failure}", flush=True)
    print(f"reload of clusters: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
