#!/usr/bin/env python3
"""tests/integration/test_partitions.py SERVER [OTHER] [--only TEXT] - clusters and super-clusters whose network breaks, heals,
delays and loses.

Each server is in a network namespace of its own (network.py). A cluster of three: one server is cut off from both
others, then two from each other while the third one sees both; interest changes meanwhile; after each healing every message
arrives exactly once where it is wanted and nowhere else; at last all links delay and lose. Three clusters joined by
gateways: a queue group is served by the nearest one over delayed links, and by the other one when delays change;
one cluster is cut off and comes back; then delay and loss. With OTHER (a nats-server) the same in mixes. All mixes run at the
same time, because they wait most of it. Where namespaces are not permitted, or there is no ip command, all is skipped,
with the reason.

PINGs go every half second, so that a break is noticed soon; on a busy machine an answer may be late, and a connection end
that nothing is wrong with. So each step notes which connections there are: when it fails and others are there at its end it
has proven nothing and is done again, which is said.
"""
import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import Client, Failure, pump  # pylint: disable=wrong-import-position
import skipped  # pylint: disable=wrong-import-position
from network import Inside, Network  # pylint: disable=wrong-import-position

PATIENCE_SECONDS = 60  # it only ends tests that fail
TRIES = 6
ROUNDS = 30
CONFIGURATION = """
server_name: {name}
listen: "0.0.0.0:4222"
http: "127.0.0.1:8222"
ping_interval: "500ms", ping_max: 2
accounts {{ A {{ users: [{{user: app, password: app}}] }} }}
cluster {{ name: {cluster}, listen: "{address}:6222", authorization {{ user: r, password: r, timeout: 2 }}
  routes: [{routes}] }}
{gateway}
"""
GATEWAY = 'gateway {{ name: {cluster}, listen: "{address}:7222", gateways: [{remotes}] }}'
UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Disturbed(Exception):
    """The machine was so busy that a step has proven nothing."""


def seconds(text):
    """A duration as Go writes it."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ns|µs|ms|s|m)", text))


class Listener(Client):
    """Says so when the server has closed it, for want of a PONG in time."""

    def send(self, data):
        try:
            super().send(data)
        except OSError:
            self.closed = True
            raise Disturbed("a client was too late with its PONG") from None

    def flush(self):
        wanted = self.pongs + 1
        self.send(b"PING\r\n")
        pump([self], lambda: self.closed or self.pongs >= wanted)
        if self.closed:
            raise Disturbed("a client was too late with its PONG")


class Node:
    """A server in its namespace; `clusters` names the cluster of each host."""

    def __init__(self, network, number, program, clusters):
        self.name, self.port, self.cluster = network.names[number], 4222, clusters[number]
        address = network.addresses[number]
        mates = [i for i, cluster in enumerate(clusters) if cluster == self.cluster and i != number]
        names = sorted(set(clusters))
        remotes = ", ".join("{name: %s, urls: [%s]}" % (name, ", ".join(
            '"nats://%s:7222"' % network.addresses[i] for i, cluster in enumerate(clusters) if cluster == name))
                            for name in names)
        gateway = GATEWAY.format(cluster=self.cluster, address=address, remotes=remotes) if len(names) > 1 else ""
        self.file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.file.write(CONFIGURATION.format(
            name="n%d" % number, cluster=self.cluster, address=address, gateway=gateway,
            routes=", ".join('"nats-route://r:r@%s:6222"' % network.addresses[i] for i in mates)))
        self.file.flush()
        self.log = tempfile.TemporaryFile()
        more = ["--shards", "2"] if os.path.basename(program) == "myelin" else []
        self.process = subprocess.Popen(["ip", "netns", "exec", self.name, program, "-c", self.file.name] + more,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def asked(self, path):
        with Inside(self.name), urllib.request.urlopen("http://127.0.0.1:8222/" + path, timeout=5) as answer:
            return json.load(answer)

    def sees(self):
        """The other servers by route and the other clusters by gateway; before it answers, nothing."""
        try:
            routes = {route["remote_id"] for route in self.asked("routez")["routes"]}
            return len(routes) + len(self.asked("gatewayz")["outbound_gateways"] or {})
        except OSError:
            return None

    def connections(self):
        """All to other servers, by number. (An inbound gateway connection is the other side's outbound.)"""
        try:
            found = {("route", route["rid"]) for route in self.asked("routez")["routes"]}
            outbound = self.asked("gatewayz")["outbound_gateways"] or {}
        except OSError:
            return None
        return found | {(name, entry["connection"]["cid"]) for name, entry in outbound.items()}

    def round_trips(self):
        """Of its outbound gateway connections; one that is not measured yet is left out."""
        found = {name: entry["connection"].get("rtt") for name, entry in self.asked("gatewayz")["outbound_gateways"].items()}
        return {name: seconds(rtt) for name, rtt in found.items() if rtt}

    def client(self):
        with Inside(self.name):
            return Listener(self)

    def said(self):
        descriptor = self.log.fileno()  # the server shares the place where it writes: pread() leaves it alone
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)[-3000:].decode(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode not in (0, 1):  # of a sanitizer
            raise Failure("a server ended with %d:\n%s" % (self.process.returncode, self.said()))


class World:
    """Nodes, a client at each, and what that wants: sid 1 a subject; sid 2 a queue group on p.x; more of `away`."""

    def __init__(self, network, programs, clusters):
        self.network = network
        self.clusters = clusters
        self.probes = 0
        self.repeated = []  # steps, and why
        self.sees = None
        self.clients = []
        self.wants = [{1: ("p.x", None), 2: ("p.x", "workers")} for _ in programs]
        self.nodes = [Node(network, i, program, clusters) for i, program in enumerate(programs)]
        self.whole = [clusters.count(cluster) - 1 + len(set(clusters)) - 1 for cluster in clusters]

    def all(self):
        return range(len(self.nodes))

    def want(self, i, sid, subject, queue=None):
        self.drop(i, sid)
        self.wants[i][sid] = (subject, queue)
        try:
            self.clients[i].send(b"SUB %s %s %d\r\n" % (subject.encode(), (queue or "").encode(), sid))
        except Disturbed:
            pass  # revive() will do it

    def drop(self, i, sid):
        if self.wants[i].pop(sid, None) is not None:
            try:
                self.clients[i].unsubscribe(sid)
            except Disturbed:
                pass

    def revive(self):
        """A client that was closed connects anew, and wants what it wanted."""
        for i, node in enumerate(self.nodes):
            if i < len(self.clients) and not self.clients[i].closed and not self.clients[i].errors:
                continue
            client = node.client()
            self.clients[i:i + 1] = [client]
            for sid, (subject, queue) in self.wants[i].items():
                client.send(b"SUB %s %s %d\r\n" % (subject.encode(), (queue or "").encode(), sid))
            client.flush()

    def wait_for(self, what, happened):
        """Polls; meanwhile the clients answer the servers' PINGs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            if time.monotonic() > deadline:
                raise Failure("it never came to this: " + what)
            until = time.monotonic() + 0.05
            try:
                pump(self.clients, lambda limit=until: time.monotonic() > limit)
            except Disturbed:
                pass  # revive() comes later

    def pump(self, done, again=None):
        """Reads for all clients until done()."""
        def all_done():
            if any(client.closed for client in self.clients):
                raise Disturbed("a client was closed")
            return done()

        pump(self.clients, all_done, again)

    def wait_sees(self, counts=None):
        self.sees = list(counts or self.whole)
        self.wait_for("servers that see %r others" % self.sees,
                      lambda: [node.sees() for node in self.nodes] == self.sees)

    def connections(self):
        return [node.connections() for node in self.nodes]

    def steady(self, phase, *arguments):
        """Does it; again where it fails and connections came or went meanwhile."""
        failure = None
        for _ in range(TRIES):
            self.wait_sees(self.sees)
            self.revive()
            before = self.connections()
            disturbed = False
            try:
                phase(*arguments)
                return
            except Disturbed as error:
                failure, disturbed = error, True
            except (Failure, OSError) as error:
                failure = error
            after = self.connections()
            alive = [not client.closed and not client.errors for client in self.clients]
            if all(alive) and before == after and not disturbed:
                break
            self.repeated.append("%s: %s; connections before %r, after %r; clients %r" % (
                phase.__name__, failure, before, after, alive))
        raise Failure("%s: %s" % (phase.__name__, failure))

    def clear(self):
        for client in self.clients:
            client.flush()
            client.messages.clear()

    def heard(self, publishers, subject):
        """Publishes until who wants it plainly has heard each publisher: interest has come round."""
        listeners = [(i, sid) for i in self.all() for sid, want in self.wants[i].items() if want == (subject, None)]
        for p in publishers:
            self.probes += 1
            body = b"probe %d" % self.probes

            def lacking():
                return any(all(m.sid != sid or m.body != body for m in self.clients[i].messages) for i, sid in listeners)

            self.pump(lambda: not lacking(), lambda: self.clients[p].publish(subject, body))

    def exactly_once(self, publishers, subjects):
        """Who wants a subject gets each message once, others none; of a queue group one, at home if it has a member there."""
        for subject in subjects:
            self.heard(publishers, subject)
        self.clear()
        bodies = [b"%d.%d" % (p, number) for number in range(ROUNDS) for p in publishers]
        for body in bodies:
            publisher = self.clients[int(body.split(b".")[0])]
            for subject in subjects:
                publisher.publish(subject, body)
            publisher.flush()  # so that they go one by one
        plain = {(i, sid): want[0] for i in self.all() for sid, want in self.wants[i].items() if not want[1]}
        groups = {want for i in self.all() for want in self.wants[i].values() if want[1] and want[0] in subjects}
        expected = len(bodies) * (sum(subject in subjects for subject in plain.values()) + len(groups))

        def came():
            return [(i, m) for i in self.all() for m in self.clients[i].messages if not m.body.startswith(b"probe")]

        try:
            self.pump(lambda: len(came()) >= expected)
        except Failure:
            pass  # what is missing is said below
        for client in self.clients:
            client.flush()
        got = {}
        for i, m in came():
            subject, queue = self.wants[i].get(m.sid, (None, None))
            if subject != m.subject or m.subject not in subjects:
                raise Failure("%s came for sid %d of %d" % (m.subject, m.sid, i))
            to = queue or (i, m.sid)
            got.setdefault((to, m.subject, m.body), []).append(i)
        wanted = {(to, subject, body) for body in bodies for to, subject in plain.items() if subject in subjects}
        wanted |= {(queue, subject, body) for body in bodies for subject, queue in groups}
        if got.keys() != wanted or any(len(places) > 1 for places in got.values()):
            raise Failure("%d are missing: %r; %d too many: %r" % (
                len(wanted - got.keys()), sorted(wanted - got.keys(), key=str)[:3], expected and len(came()) - len(wanted),
                [key for key, places in got.items() if len(places) > 1 or key not in wanted][:3]))
        for (to, _, body), places in got.items():
            home = self.clusters[int(body.split(b".")[0])]
            if to == "workers" and self.clusters[places[0]] != home:
                raise Failure("a message of %s was served in %s" % (home, self.clusters[places[0]]))

    def told_apart(self, side, publishers):
        """A message of one side reaches all of it, and no others."""
        for p in publishers:
            self.clear()
            self.clients[p].publish("p.x", b"side")
            self.pump(lambda: all(any(m.sid == 1 for m in self.clients[j].messages) for j in side))
            for j, client in enumerate(self.clients):
                client.flush()
                if j not in side and client.messages:
                    raise Failure("a message of %d got through to %d" % (p, j))

    def delay_and_loss(self, publishers):
        self.network.everywhere(delay=0.01, loss=0.04)
        before = self.network.lost()
        try:
            while self.network.lost() == before:  # mostly once
                self.exactly_once(publishers, ("p.x",))
        finally:
            self.network.everywhere()


def cluster(world):
    everyone = range(3)
    world.wait_sees()
    world.steady(world.exactly_once, everyone, ("p.x",))
    # The last one alone: both sides go on, interest changes on both, and after the healing it is known.
    world.network.plug(2, False)
    world.wait_sees((1, 1, 0))
    world.steady(world.told_apart, (0, 1), (0, 1))
    world.steady(world.told_apart, (2,), (2,))
    for i in (0, 2):
        world.want(i, 1, "r.x")
    world.network.plug(2, True)
    world.wait_sees()
    world.steady(world.exactly_once, everyone, ("p.x", "r.x"))
    for i in (0, 2):
        world.want(i, 1, "p.x")
    # Two do not see each other, the third sees both: nothing goes by way of it (one hop).
    world.network.between([0], [2], loss=1.0)
    world.wait_sees((1, 2, 1))
    world.steady(world.told_apart, (0, 1), (0,))
    world.steady(world.told_apart, (1, 2), (2,))
    world.network.between([0], [2])
    world.wait_sees()
    world.steady(world.exactly_once, everyone, ("p.x",))
    world.steady(world.delay_and_loss, everyone)


def nearest(world, near, far):
    """All messages of the group that only the other two clusters have go to the nearer one, from both nodes of GA."""
    def measured():
        return all(set(trips) == {"GB", "GC"} and trips[far] > 2 * trips[near]
                   for trips in (world.nodes[p].round_trips() for p in (0, 1)))

    world.wait_for("%s is nearer" % near, measured)
    world.heard((0, 1), "away.mark")
    world.clear()
    for p in (0, 1):
        for number in range(ROUNDS):
            world.clients[p].publish("away.x", b"%d.%d" % (p, number))
    world.pump(lambda: sum(m.sid == 3 for c in world.clients for m in c.messages) >= 2 * ROUNDS)
    for client in world.clients:
        client.flush()
    got = {world.clusters[i]: sum(m.sid == 3 for m in client.messages) for i, client in enumerate(world.clients)}
    if got != {"GA": 0, near: 2 * ROUNDS, far: 0}:
        # A PONG that came late makes the near one the far one until the next. Who does not order by round trips is found out
        # nevertheless: one of the two orders fails always.
        raise Disturbed("served: %r, round trips %r" % (got, [world.nodes[p].round_trips() for p in (0, 1)]))


def gateways(world):
    """GA has two nodes (0, 1), GB (2) and GC (3) one each."""
    everyone = range(4)
    world.wait_sees()
    world.steady(world.exactly_once, everyone, ("p.x",))
    for i in (2, 3):
        world.want(i, 3, "away.x", "away")
        world.want(i, 4, "away.mark")
    for near, far, slow in (("GB", "GC", 3), ("GC", "GB", 2)):
        world.network.everywhere()
        world.network.between((0, 1), (slow,), delay=0.08)
        world.steady(nearest, world, near, far)
    world.network.everywhere()
    # A cluster alone: the others go on, the group is served by who is left.
    world.network.plug(3, False)
    world.wait_sees((2, 2, 1, 0))
    world.steady(world.told_apart, (0, 1, 2), (0, 1, 2))
    world.steady(world.told_apart, (3,), (3,))
    for i in (0, 3):
        world.want(i, 1, "r.x")
    world.drop(2, 3)
    world.network.plug(3, True)
    world.wait_sees()
    world.steady(world.exactly_once, everyone, ("p.x", "r.x", "away.x"))
    for i in (0, 3):
        world.want(i, 1, "p.x")
    world.steady(world.delay_and_loss, everyone)


def run(job):
    """What went wrong, or nothing; which steps were done again; how long all took."""
    title, scenario, programs, clusters, tag = job
    began = time.monotonic()
    with Network(len(programs), tag) as network:
        world = World(network, programs, clusters)
        wrong = []
        try:
            scenario(world)
        except (Failure, OSError) as error:
            wrong = ["%s (seed %d): %s" % (title, network.seed, error)]
            wrong += ["---- %s\n%s" % (node.name, node.said()) for node in world.nodes]
        for node in world.nodes:
            try:
                node.stop()
            except Failure as error:
                wrong.append(str(error))
    return title, wrong, world.repeated, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    m, n = arguments.server, arguments.other
    three, super_cluster = ["c", "c", "c"], ["GA", "GA", "GB", "GC"]
    jobs = [("a cluster of Myelin", cluster, [m, m, m], three),
            ("a super-cluster of Myelin", gateways, [m, m, m, m], super_cluster)]
    if n:
        jobs += [("a cluster, one Myelin, cut off", cluster, [n, n, m], three),
                 ("a cluster, two Myelin, nats-server cut off", cluster, [m, m, n], three),
                 ("a super-cluster, Myelin near and cut off", gateways, [n, n, n, m], super_cluster),
                 ("a super-cluster, nats-server near and cut off", gateways, [m, n, m, n], super_cluster)]
    jobs = [job + ("s%d" % i,) for i, job in enumerate(jobs) if arguments.only in job[0]]
    try:
        with Network(1, "try"):
            pass
    except OSError as error:
        skipped.note("partitions", "network namespaces cannot be made here: %s" % error, len(jobs))
        print("0 passed, 0 failed, %d skipped" % len(jobs))
        return 0
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for title, wrong, repeated, took in pool.map(run, jobs):
            failed += bool(wrong)
            print("partitions: %s: %s (%.1f s)" % (title, "FAILED" if wrong else "as expected", took))
            for line in ["done again: " + line for line in repeated] + wrong:
                print("   ", line)
    print("partitions: %d passed, %d failed" % (len(jobs) - failed, failed))
    return 1 if failed or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
