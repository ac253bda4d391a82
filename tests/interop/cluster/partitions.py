#!/usr/bin/env python3
"""Streaming clients against a cluster of three whose network breaks. Each node is in a network namespace of its own
(tests/integration/network.py), and beside each, in the same one, a client that knows no other node: it publishes and
subscribes durably. The leader is cut off, with its client, again and again: both ways, then so that it hears and is not
heard, then so that it is heard and does not hear. Each time the two others go on with a new leader while nothing is
acknowledged on the side that was cut off, the old leader steps down, and after the healing all three clients go on. Then
each history is judged (history.py): nothing acknowledged lost, nothing twice or out of order, all of it delivered.

usage: partitions.py SERVER_BINARY NAME=COMMAND ...

COMMAND and what is printed are as for run.py. Where namespaces are not permitted all is skipped, with the reason.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

from run import Client, all_move, finish, report  # it knows where the integration tests are
from test_streaming_cluster import OPTIONS, Failure, Node, World, equal, wait_for
import skipped
from network import Inside, Network

MOVES = 20  # publishes that are acknowledged, and come to each durable, before a step counts
CUTS = ["both ways", "not heard", "hears nothing"]
CONFIGURATION = """server_name: {name}
listen: "0.0.0.0:4222"
http: "127.0.0.1:8222"
cluster {{ name: net, listen: "{address}:6222", routes: [{routes}], ping_interval: "200ms", ping_max: 2 }}
streaming {{ store: FILE, dir: "{folder}"
  cluster {{ node_id: {name}, peers: [{peers}], trailing_logs: 200, snapshot_entries: 1000
    raft_heartbeat_timeout: "500ms", raft_election_timeout: "500ms", raft_lease_timeout: "500ms" }} }}
"""


class Site(Node):
    """A node in a namespace. What it is asked goes by a socket that is made there."""

    def __init__(self, world, network, number):
        super().__init__(world, "abc"[number], (4222, 8222, 6222))
        self.network, self.number = network, number
        self.namespace = network.names[number]

    def start(self, cluster="", flags=()):
        del cluster, flags  # its configuration is its own
        routes = ", ".join(f'"nats://{address}:6222"' for i, address in enumerate(self.network.addresses)
                           if i != self.number)
        path = self.folder + ".conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(name=self.name, address=self.network.addresses[self.number], routes=routes,
                                            folder=self.folder, peers=", ".join("abc")))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, OPTIONS.binary, "-c", path],
                                            stdout=log, stderr=log)
        return self

    def page(self, path):
        with Inside(self.namespace):
            return super().page(path)


class Sites(World):
    """Three nodes, and no hub."""

    def __init__(self, network):  # pylint: disable=super-init-not-called
        self.folder = tempfile.mkdtemp(prefix="streaming-partitions-")
        self.network, self.opened = network, []
        self.nodes = [Site(self, network, i) for i in range(len(network.names))]
        self.hub = self.nodes[0]

    def cut(self, node, kind):
        others = [other.number for other in self.nodes if other is not node]
        if kind == "both ways":
            self.network.plug(node.number, False)
        elif kind == "not heard":
            self.network.one_way([node.number], others, 1.0)
        else:
            self.network.one_way(others, [node.number], 1.0)


def isolate(world, clients, kind):
    """The leader's host, cut off and healed. `clients` are in the order of the nodes."""
    victim = world.leader()
    alone = [client for client in clients if client.host is victim]
    others = [client for client in clients if client.host is not victim]
    world.cut(victim, kind)
    all_move(others, MOVES)
    wait_for(lambda: victim.server().get("role") != "Leader", f"{victim.name}, cut off ({kind}), leads no more")
    before = [len(client.history.acknowledged) for client in alone]
    all_move(others, MOVES)
    equal([len(client.history.acknowledged) for client in alone], before,
          f"publishes that were acknowledged on the side that is cut off ({kind})")
    equal(world.leader() is not victim, True, "another one leads")
    world.network.everywhere()
    all_move(clients, MOVES)


def play(world, commands):
    world.start()
    clients = []
    try:
        for i, (name, command) in enumerate(commands):
            host = world.nodes[i % len(world.nodes)]
            client = Client(name, f"ip netns exec {host.namespace} {command}", "nats://127.0.0.1:4222")
            client.host = host
            clients.append(client)
        for client in clients:
            client.heard("ready")
        all_move(clients, MOVES)
        for kind in CUTS:
            began = time.monotonic()
            isolate(world, clients, kind)
            print(f"cut off, {kind}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        finish(world, clients)
    finally:
        for client in clients:
            client.end()
    return clients


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("clients", nargs="+", metavar="NAME=COMMAND")
    arguments = parser.parse_args()
    OPTIONS.binary = os.path.abspath(arguments.binary)
    commands = [words.split("=", 1) for words in arguments.clients]
    world = None
    failed = 0
    try:
        network = Network(3, "stan")
        with network:
            world = Sites(network)
            try:
                clients = play(world, commands)
                shortest = min(clients, key=lambda client: len(client.history.replayed))
                failed = report(clients, f"leader cut off {len(CUTS)} times", [shortest])
            except (Failure, OSError, subprocess.TimeoutExpired) as failure:
                failed = len(commands)
                print(f"FAILED: {failure}\n{world.logs()}")
            finally:
                world.end()
    except OSError as error:
        if world is not None:
            raise
        skipped.note("streaming clients and partitions", f"network namespaces cannot be made here: {error}", len(commands))
        print(f"0 passed, 0 failed, {len(commands)} skipped")
        return 0
    print(f"{len(commands) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
