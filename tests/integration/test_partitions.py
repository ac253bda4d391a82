#!/usr/bin/env python3
"""tests/integration/test_partitions.py SERVER [OTHER] - clusters whose network breaks and heals.

Three servers, each in a network namespace of its own with an address on one bridge; the test makes the namespaces and
removes them, and sends nothing to anywhere else. One server is cut off from both others, then two from each other while
the third one sees both; interest changes meanwhile; after each healing every message arrives exactly once where it is
wanted, and nowhere else. With OTHER (a nats-server) the same in both mixes. Where namespaces are not permitted, or
there is no ip command, all of it is skipped, with the reason. (Delay and loss by netem are not part of it: not every
kernel has that.)
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import Client, Failure, pump  # pylint: disable=wrong-import-position

NODES = 3
PATIENCE_SECONDS = 40  # it only ends tests that fail
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

CONFIGURATION = """
server_name: n{number}
listen: "0.0.0.0:4222"
http: "127.0.0.1:8222"
ping_interval: "500ms", ping_max: 2
accounts {{ A {{ users: [{{user: app, password: app}}] }} }}
cluster {{ name: c, listen: "{address}:6222", authorization {{ user: r, password: r, timeout: 2 }}
  routes: [{routes}] }}
"""


def ip(*words):
    done = subprocess.run(["ip"] + list(words), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError("ip %s: %s" % (" ".join(words), done.stderr.strip()))


class Inside:
    """This thread is in another network namespace for a while; sockets keep the one they were made in."""

    def __init__(self, name):
        self.name = name

    def enter(self, path):
        with open(path, "rb") as file:
            if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def __enter__(self):
        self.own = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            self.enter("/run/netns/" + self.name)
        except OSError:
            os.close(self.own)
            raise

    def __exit__(self, *_):
        libc.setns(self.own, CLONE_NEWNET)
        os.close(self.own)


class Network:
    """A bridge in a namespace, and one namespace for each node with a cable to it."""

    def __init__(self):
        self.hub = "myelin%d-hub" % os.getpid()
        self.names = ["myelin%d-%d" % (os.getpid(), i) for i in range(NODES)]
        self.made = []
        self.addresses = ["10.99.0.%d" % (i + 1) for i in range(NODES)]

    def __enter__(self):
        try:
            for name in [self.hub] + self.names:
                ip("netns", "add", name)
                self.made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.hub, "link", "set", "bridge", "up")
            for i, name in enumerate(self.names):
                ip("-n", name, "link", "add", "cable", "type", "veth", "peer", "name", "port%d" % i, "netns", self.hub)
                ip("-n", name, "addr", "add", self.addresses[i] + "/24", "dev", "cable")
                ip("-n", name, "link", "set", "cable", "up")
                ip("-n", self.hub, "link", "set", "port%d" % i, "master", "bridge", "up")
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def plug(self, i, there):
        ip("-n", self.hub, "link", "set", "port%d" % i, "up" if there else "down")

    def between(self, i, j, there):
        for here, other in ((i, j), (j, i)):
            ip("-n", self.names[here], "route", "del" if there else "add", "blackhole", self.addresses[other])


class Node:
    """A server in its namespace."""

    def __init__(self, network, number, program):
        self.name, self.port = network.names[number], 4222
        routes = ", ".join('"nats-route://r:r@%s:6222"' % address
                           for i, address in enumerate(network.addresses) if i != number)
        self.file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.file.write(CONFIGURATION.format(number=number, address=network.addresses[number], routes=routes))
        self.file.flush()
        self.log = tempfile.TemporaryFile()
        more = ["--shards", "2"] if os.path.basename(program) == "myelin" else []
        self.process = subprocess.Popen(["ip", "netns", "exec", self.name, program, "-c", self.file.name] + more,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def remotes(self):
        """How many other servers it has routes to; None before it answers."""
        try:
            with Inside(self.name), urllib.request.urlopen("http://127.0.0.1:8222/routez", timeout=5) as answer:
                return len({route["remote_id"] for route in json.load(answer)["routes"]})
        except OSError:
            return None

    def client(self):
        with Inside(self.name):
            return Client(self)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode not in (0, 1):  # of a sanitizer
            self.log.seek(0)
            raise Failure("a server ended with %d:\n%s" % (self.process.returncode,
                                                           self.log.read()[-3000:].decode(errors="replace")))


def wait_for(what, happened, clients=()):
    """Polls; meanwhile the clients answer the servers' PINGs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise Failure("it never came to this: " + what)
        until = time.monotonic() + 0.05
        pump(clients, lambda limit=until: time.monotonic() > limit)


def wait_remotes(nodes, counts, clients=()):
    wait_for("servers that see %r others" % (counts,), lambda: [node.remotes() for node in nodes] == list(counts),
             clients)


def heard(clients, publisher, subject):
    """Publishes until all of `clients` have heard one: interest has come round."""
    for client in clients:
        client.messages.clear()

    def all_have():
        publisher.publish(subject, b"probe")
        publisher.flush()
        for client in clients:
            client.flush()
        return all(any(m.subject == subject for m in client.messages) for client in clients)
    wait_for("%s is heard" % subject, all_have, clients)


def exactly_once(clients, wanted, subjects, rounds=40):
    """Every client publishes; who wants a subject gets each message once, others none; of a queue group one."""
    for client in clients:
        client.flush()
        client.messages.clear()
    for number in range(rounds):
        for i, client in enumerate(clients):
            for subject in subjects:
                client.publish(subject, b"%d.%d" % (i, number))
    for client in clients:
        client.publish("end", b"")
    for client in clients:
        client.flush()
    expected = [sum(rounds * NODES for s in subjects if s in wants) for wants in wanted]

    def counted(message, sid):  # a late probe of heard() is none of ours
        return message.subject in subjects and message.sid == sid and message.body != b"probe"

    def counts():
        return [sum(counted(m, 1) for m in client.messages) for client in clients]

    def groups():
        return sum(counted(m, 2) for client in clients for m in client.messages)
    pump(clients, lambda: all(a >= b for a, b in zip(counts(), expected)) and
         groups() >= rounds * NODES * sum(s == "p.x" for s in subjects))
    for client in clients:
        client.flush()
    if counts() != expected or groups() != rounds * NODES * sum(s == "p.x" for s in subjects):
        raise Failure("deliveries %r, expected %r; %d to the group" % (counts(), expected, groups()))
    for client in clients:
        bodies = [(m.subject, m.body) for m in client.messages if m.sid == 1 and m.body != b"probe"]
        if len(set(bodies)) != len(bodies):
            raise Failure("a message came twice")


def told_apart(clients, sides, publishers=range(NODES)):
    """While the network is broken: a message reaches those of its own side and no others."""
    for side in sides:
        for i in [i for i in side if i in publishers]:
            for client in clients:
                client.flush()
                client.messages.clear()
            clients[i].publish("p.x", b"side")
            clients[i].flush()
            pump([clients[j] for j in side], lambda: all(
                any(m.sid == 1 for m in clients[j].messages) for j in side))
            for j, client in enumerate(clients):
                client.flush()
                if j not in side and client.messages:
                    raise Failure("a message got through to %d" % j)


def cut_off_and_healed(network, nodes, clients):
    """The last server alone: both sides go on, interest changes on both, and after the healing it is known."""
    network.plug(2, False)
    wait_remotes(nodes, (1, 1, 0), clients)
    told_apart(clients, ((0, 1), (2,)))
    clients[2].send(b"UNSUB 1\r\nSUB r.x 1\r\n")
    clients[0].send(b"UNSUB 1\r\nSUB r.x 1\r\n")
    network.plug(2, True)
    wait_remotes(nodes, (2, 2, 2), clients)
    for publisher in clients:
        heard([clients[0], clients[2]], publisher, "r.x")
        heard([clients[1]], publisher, "p.x")
    exactly_once(clients, [{"r.x"}, {"p.x"}, {"r.x"}], ("p.x", "r.x"))
    for i in (0, 2):
        clients[i].send(b"UNSUB 1\r\nSUB p.x 1\r\n")
    for publisher in clients:
        heard(clients, publisher, "p.x")


def two_apart(network, nodes, clients):
    """Two servers do not see each other, the third sees both: nothing goes by way of it (one hop)."""
    network.between(0, 2, False)
    wait_remotes(nodes, (1, 2, 1), clients)
    told_apart(clients, ((0, 1),), (0,))
    told_apart(clients, ((1, 2),), (2,))
    network.between(0, 2, True)
    wait_remotes(nodes, (2, 2, 2), clients)
    for publisher in clients:
        heard(clients, publisher, "p.x")
    exactly_once(clients, [{"p.x"}] * NODES, ("p.x",))


def scenario(programs):
    with Network() as network:
        nodes = [Node(network, i, program) for i, program in enumerate(programs)]
        try:
            wait_remotes(nodes, (2, 2, 2))
            clients = [node.client() for node in nodes]
            for client in clients:
                client.subscribe("p.x")
                client.subscribe("p.x", "workers")
                client.flush()
            for publisher in clients:
                heard(clients, publisher, "p.x")
            exactly_once(clients, [{"p.x"}] * NODES, ("p.x",))
            cut_off_and_healed(network, nodes, clients)
            two_apart(network, nodes, clients)
        finally:
            for node in nodes:
                node.stop()


def main():
    program = sys.argv[1]
    mixes = [("Myelin alone", [program] * NODES)]
    if len(sys.argv) > 2:
        mixes.append(("one Myelin, cut off", [sys.argv[2], sys.argv[2], program]))
        mixes.append(("two Myelin, nats-server cut off", [program, program, sys.argv[2]]))
    try:
        with Network():
            pass
    except OSError as error:
        print("partitions: skipped: network namespaces cannot be made here: %s" % error)
        print("0 passed, 0 failed, %d skipped" % len(mixes))
        return 0
    failed = 0
    for title, programs in mixes:
        try:
            scenario(programs)
            print("partitions: %s: as expected" % title)
        except (Failure, OSError) as error:
            failed += 1
            print("partitions: FAILED: %s: %s" % (title, error))
    print("partitions: %d passed, %d failed" % (len(mixes) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
