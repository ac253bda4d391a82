#!/usr/bin/env python3
"""tests/integration/test_cluster.py SERVER [--nats PATH] [--newest PATH] - clusters of three, of one kind and mixed.

Random work in every mix is compared with a model: each plain subscription gets each message of its account that it
matches exactly once, each queue group exactly once over the whole cluster, with body, reply and headers as they were
sent. Nodes are killed and started again; a cluster of nats-servers is taken over one node at a time.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from cluster_client import Client, Failure, Node, Nodes, free_ports, pump  # noqa: E402

SUBJECTS = ["a", "a.b", "a.c", "b.x.y", "orders.eu.1", "orders.us.2"]
PATTERNS = SUBJECTS + ["a.*", "*.b", "orders.>", "b.*.y", ">"]
QUEUES = ["q", "r", "work"]


def matches(pattern, subject):
    p, s = pattern.split("."), subject.split(".")
    for i, token in enumerate(p):
        if token == ">":
            return len(s) > i
        if i >= len(s) or (token != "*" and token != s[i]):
            return False
    return len(p) == len(s)


class Cluster(Nodes):
    """Three nodes that know each other by routes or by gossip. `extra` is what stands in every cluster block beside
    that, or a function that says it for the number of a node."""

    def __init__(self, paths, shards, extra=None, full_mesh=False):
        ports = free_ports(2 * len(paths))
        self.nodes = []
        for i, path in enumerate(paths):
            ours = "myelin" in os.path.basename(path)
            self.nodes.append(Node(path, f"n{i}", ports[2 * i], ports[2 * i + 1],
                                   ["--shards", str(shards)] if ours else [],
                                   extra(i) if callable(extra) else extra or ""))
        for node in self.nodes:
            others = [other.cluster_port for other in self.nodes if other is not node]
            node.routes = others if full_mesh else [self.nodes[0].cluster_port]


class World:
    """Clients with subscriptions, and what they are to get."""

    def __init__(self, rng, clients):
        self.rng = rng
        self.clients = clients  # (client, account)
        self.subscriptions = {}  # (client, sid) -> (account, pattern, queue)
        self.serial = 0

    def all(self):
        return [client for client, _ in self.clients]

    def barrier(self):
        """Until each client has heard each other one of its account about a new subject: all interest made before has
        arrived too, because interest stands on a route in the order in which it came about."""
        self.serial += 1
        probes = {}
        for i, (client, account) in enumerate(self.clients):
            sid = client.subscribe(f"probe.{self.serial}.{i}")
            probes[(client, sid)] = (account, i)

        def missing():
            lacking = []
            for (client, sid), (account, i) in probes.items():
                seen = {m.body for m in client.messages if m.sid == sid}
                for j, (other, other_account) in enumerate(self.clients):
                    if other_account == account and b"%d" % j not in seen:
                        lacking.append((other, j, i))
            return lacking

        def again():
            for other, j, i in missing():
                other.publish(f"probe.{self.serial}.{i}", b"%d" % j)

        try:
            pump(self.all(), lambda: not missing(), again)
        except Failure:
            lacking = [(j, i, self.clients[j][0].node.name, self.clients[i][0].node.name) for _, j, i in missing()]
            raise Failure(f"not heard, from .. to ..: {lacking}") from None
        for client, sid in probes:
            client.unsubscribe(sid)

    def change(self):
        """Some subscriptions come, some go."""
        for client, account in self.clients:
            for _ in range(self.rng.randrange(4)):
                queue = self.rng.choice(QUEUES) if self.rng.random() < 0.5 else None
                pattern = self.rng.choice(PATTERNS)
                if pattern == ">" and queue is None and self.rng.random() < 0.8:
                    continue
                sid = client.subscribe(pattern, queue)
                self.subscriptions[(client, sid)] = (account, pattern, queue)
        for key in [key for key in self.subscriptions if self.rng.random() < 0.25]:
            key[0].unsubscribe(key[1])
            del self.subscriptions[key]

    def work(self, count):
        """Publishes, waits for all of it, and compares."""
        for client in self.all():
            client.messages.clear()
        ends = [(client, client.subscribe(f"end.{i}"), account) for i, (client, account) in enumerate(self.clients)]
        self.barrier()
        for client in self.all():
            client.messages.clear()
        sent = {}
        for number in range(count):
            client, account = self.rng.choice(self.clients)
            subject = self.rng.choice(SUBJECTS)
            body = b"m%d " % number + b"x" * self.rng.choice([0, 1, 20, 500, 5000, 70000 if number % 50 == 0 else 9])
            reply = f"reply.{number}" if self.rng.random() < 0.4 else None
            header = b"NATS/1.0\r\nN: %d\r\n\r\n" % number if self.rng.random() < 0.4 else None
            client.publish(subject, body, reply, header)
            sent[body.split(b" ")[0]] = (account, subject, body, reply, header)
        for client, account in self.clients:
            for i, (_, _, other) in enumerate(ends):
                if other == account:
                    client.publish(f"end.{i}", b"end")
        per_account = {account: sum(1 for _, a in self.clients if a == account) for _, account in self.clients}
        pump(self.all(), lambda: all(
            sum(1 for m in client.messages if m.sid == sid) == per_account[account] for client, sid, account in ends))
        self.compare(sent, {(client, sid) for client, sid, _ in ends})
        for client, sid, _ in ends:
            client.unsubscribe(sid)

    def compare(self, sent, markers):
        plain, groups = {}, {}
        for client in self.all():
            if client.errors or client.closed:
                raise Failure(f"a client was told {client.errors} or closed")
            for m in client.messages:
                key = (client, m.sid)
                name = m.body.split(b" ")[0]
                if key in markers or m.subject.startswith(("probe.", "end.")):
                    continue
                if key not in self.subscriptions:
                    raise Failure(f"{m.subject} came for a subscription that is gone")
                if name not in sent:
                    raise Failure(f"{name} was never sent")
                account, subject, body, reply, header = sent[name]
                if (m.subject, m.body, m.reply, m.header) != (subject, body, reply, header):
                    raise Failure(f"{name} came as {m.subject} {m.reply} {m.header} with {len(m.body)} bytes, "
                                  f"sent as {subject} {reply} {header} with {len(body)}")
                subscribed_account, pattern, queue = self.subscriptions[key]
                if subscribed_account != account or not matches(pattern, subject):
                    raise Failure(f"{name} for {subject} in {account} came to {pattern} in {subscribed_account}")
                if queue is None:
                    plain[(key, name)] = plain.get((key, name), 0) + 1
                else:
                    groups[(queue, name)] = groups.get((queue, name), 0) + 1
        for name, (account, subject, _, _, _) in sent.items():
            wanted = set()
            for key, (subscribed_account, pattern, queue) in self.subscriptions.items():
                if subscribed_account == account and matches(pattern, subject):
                    wanted.add((key, None) if queue is None else (None, queue))
            for key, queue in wanted:
                got = plain.pop((key, name), 0) if queue is None else groups.pop((queue, name), 0)
                if got != 1:
                    where = f"group {queue}" if queue else f"{self.subscriptions[key]} at {key[0].node.name}"
                    raise Failure(f"{name} ({subject} in {account}) came {got} times to {where}")
        if plain or groups:
            raise Failure(f"{len(plain) + len(groups)} deliveries too many")


def connect_all(cluster, each=2):
    clients = [(Client(node), "APP") for node in cluster.nodes for _ in range(each)]
    return clients + [(Client(node, "other"), "OTHER") for node in cluster.nodes]


def random_work(cluster, rng):
    world = World(rng, connect_all(cluster))
    world.barrier()
    for _ in range(4):
        world.change()
        world.barrier()
        world.work(120)
    # One node is killed and comes back: the others go on, and what it wants is known again.
    victim = rng.choice(cluster.nodes[1:])
    witness, asker = Client(victim, "svc"), Client(cluster.nodes[0], "svc")
    witness.subscribe("alive")
    asker.subscribe("answer")
    pump([witness, asker], lambda: witness.messages, lambda: asker.publish("alive", b""))
    victim.stop(signal.SIGKILL)
    gone = [client for client in world.all() if client.node is victim]
    world.clients = [entry for entry in world.clients if entry[0] not in gone]
    world.subscriptions = {key: value for key, value in world.subscriptions.items() if key[0] not in gone}
    settle(world, asker)
    world.work(60)
    victim.start()
    world.clients += [(Client(victim), "APP"), (Client(victim, "other"), "OTHER")]
    world.barrier()
    world.change()
    world.barrier()
    world.work(60)
    for client in world.all():
        client.close()


def settle(world, asker):
    """Until the rest has forgotten the node that is gone: what it alone had a responder for finds none."""
    asker.messages.clear()
    pump([asker], lambda: any(m.header and b"503" in m.header for m in asker.messages),
         lambda: asker.publish("alive", b"", "answer"))
    world.barrier()


def bursts(cluster, rng):
    """Thousands of messages with one and the same line, in one piece, by which they stay a run from node to node: they
    arrive once and in order at receivers of every kind, on all shards, and change to another size and back."""
    for target in cluster.nodes:
        subject = f"burst.{rng.randrange(1 << 30)}"
        single, double, limited, wild = receivers = [Client(target) for _ in range(4)]
        publisher = Client(cluster.nodes[rng.randrange(len(cluster.nodes))])
        single.subscribe(subject)
        double.subscribe(subject)
        double.subscribe("burst.>")
        wild.subscribe("burst.*")
        limited.send(b"UNSUB %d 777\r\n" % limited.subscribe(subject))
        for client in receivers:
            client.flush()
        single.subscribe(f"ready.{subject}")  # interest travels in order: who knows this knows all
        pump([single], lambda: single.messages, lambda: publisher.publish(f"ready.{subject}", b""))
        sizes = [9] * 900 + [900] * 600 + [9] * 700 + [rng.randrange(9, 20) for _ in range(200)]
        bodies = [b"%06d" % i + b"." * (size - 6) for i, size in enumerate(sizes)]
        publisher.send(b"".join(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(b), b) for b in bodies))
        wanted = {single: bodies, wild: bodies, limited: bodies[:777], double: [b for b in bodies for _ in range(2)]}
        pump(receivers, lambda: all(sum(m.subject == subject for m in c.messages) >= len(b) for c, b in wanted.items()))
        for client, expected in wanted.items():
            client.flush()
            if [m.body for m in client.messages if m.subject == subject] != expected:
                raise Failure(f"a burst came otherwise than it was published: {len(expected)} messages")
        for client in receivers + [publisher]:
            client.close()


def requests(cluster, rng):
    """Request and reply between all pairs of nodes, at once after the SUB for the reply; then services and streams of
    another account."""
    for responder_node in cluster.nodes:
        for asker_node in cluster.nodes:
            responder, asker = Client(responder_node), Client(asker_node)
            service = f"service.{rng.randrange(1 << 30)}"
            responder.subscribe(service)
            responder.flush()
            answers = []

            def serve():
                for m in responder.messages:
                    if m.reply:
                        responder.publish(m.reply, b"re:" + m.body)
                responder.messages.clear()

            for number in range(5):
                inbox = f"_INBOX.{rng.randrange(1 << 30)}"
                tries = [0]

                def ask():
                    tries[0] += 1
                    asker.publish(service, b"%d" % number, inbox)

                asker.subscribe(inbox)
                if number > 0:
                    ask()  # interest in the service is known by now: once has to be enough

                def answered():
                    serve()
                    return any(m.subject == inbox and m.body == b"re:%d" % number for m in asker.messages)

                pump([responder, asker], answered, ask if number == 0 else None)
                answers.append(tries[0])
            if any(tries != 1 for tries in answers[1:]):
                raise Failure(f"requests were asked {answers} times")
            responder.close()
            asker.close()
    for exporter_node in cluster.nodes:
        for importer_node in cluster.nodes:
            exporter, importer = Client(exporter_node, "svc"), Client(importer_node, "cli")
            exporter.subscribe("svc.req")
            inbox = f"_INBOX.{rng.randrange(1 << 30)}"
            importer.subscribe(inbox)
            importer.subscribe("imp.st.a")

            def serve_service():
                for m in exporter.messages:
                    if m.reply:
                        exporter.publish(m.reply, b"served")
                exporter.messages.clear()
                return any(m.subject == inbox and m.body == b"served" for m in importer.messages)

            pump([exporter, importer], serve_service, lambda: importer.publish("my.req", b"please", inbox))
            pump([exporter, importer],
                 lambda: any(m.subject == "imp.st.a" and m.body == b"news" for m in importer.messages),
                 lambda: exporter.publish("st.a", b"news"))
            exporter.close()
            importer.close()


def spread(cluster, rng):
    """A queue group's members share the work whatever their node (spec/routes.md 12.3)."""
    for members in ((1, 1, 1), (1, 0, 9), (0, 1, 3), (5, 1, 0)):
        clients = [Client(node) for node in cluster.nodes]
        world = World(rng, [(client, "APP") for client in clients])
        subject = f"spread.{rng.randrange(1 << 30)}"
        for client, count in zip(clients, members):
            for _ in range(count):
                client.subscribe(subject, "g")
        world.barrier()
        for client in clients:
            client.messages.clear()
        for _ in range(600):
            clients[0].publish(subject, b"")
        pump(clients, lambda: sum(1 for c in clients for m in c.messages if m.subject == subject) >= 600)
        world.barrier()
        got = [sum(1 for m in c.messages if m.subject == subject) for c in clients]
        if sum(got) != 600:
            raise Failure(f"{sum(got)} deliveries of 600")
        for count, share in zip(got, members):
            part = share / sum(members)
            slack = 6 * (600 * part * (1 - part)) ** 0.5  # six standard deviations: a chance of 1 to 500 million
            if abs(count - 600 * part) > slack:
                raise Failure(f"members {members} got {got}")
        for client in clients:
            client.close()


def urls(cluster, rng):
    """A client hears of the other servers, and of their going (routes.md 8.4)."""
    del rng
    client = Client(cluster.nodes[0])
    others = [b"127.0.0.1:%d" % node.port for node in cluster.nodes[1:]]
    pump([client], lambda: all(url in client.info for url in others), client.flush)
    victim = cluster.nodes[2]
    victim.stop()
    pump([client], lambda: b'"127.0.0.1:%d"' % victim.port not in client.info, client.flush)
    victim.start()
    pump([client], lambda: b'"127.0.0.1:%d"' % victim.port in client.info, client.flush)
    client.close()


def migration(cluster, rng, server, shards):
    """One node after the other is replaced; between the two others nothing is lost, doubled or out of order."""
    for i, node in enumerate(cluster.nodes):
        sender, receiver = [Client(other) for other in cluster.nodes if other is not node]
        subject = f"move.{rng.randrange(1 << 30)}"
        sid = receiver.subscribe(subject)
        World(rng, [(sender, "APP"), (receiver, "APP")]).barrier()
        sent = 0

        def send(count):
            nonlocal sent
            for _ in range(count):
                sender.publish(subject, b"%d" % sent)
                sent += 1

        send(50)
        node.stop()
        send(50)
        node.path, node.arguments = server, ["--shards", str(shards)]
        node.start()
        send(50)
        newcomer = Client(node)
        world = World(rng, [(sender, "APP"), (receiver, "APP"), (newcomer, "APP")])
        world.barrier()
        send(50)
        pump(world.all(), lambda: sum(1 for m in receiver.messages if m.sid == sid) >= sent)
        got = [int(m.body) for m in receiver.messages if m.sid == sid]
        if got != list(range(sent)):
            raise Failure(f"step {i}: {len(got)} of {sent} messages, in order: {got == sorted(got)}")
        for client in world.all():
            client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--nats", default=shutil.which("nats-server"))
    parser.add_argument("--newest", default=None)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    arguments = parser.parse_args()
    m, n, x = os.path.abspath(arguments.server), arguments.nats, arguments.newest
    mixes = [("three Myelin", [m, m, m], 1), ("three Myelin, 3 shards", [m, m, m], 3)]
    if n:
        mixes += [("two Myelin, one nats-server", [m, m, n], 2), ("one Myelin, two nats-servers", [n, m, n], 2)]
    if x:
        mixes += [("two Myelin, one newest nats-server", [x, m, m], 2)]
    if n and x:
        mixes += [("Myelin, nats-server and the newest one", [n, x, m], 1)]
    print(f"seed {arguments.seed}" + ("" if n else "; nats-server is not installed: no mixed clusters") +
          ("" if x else "; the newest nats-server is not there"))
    passed = failed = 0
    for title, paths, shards in mixes:
        for scenario in (random_work, bursts, requests, spread, urls):
            if arguments.only and arguments.only not in f"{title}: {scenario.__name__}":
                continue
            passed, failed = run(f"{title}: {scenario.__name__}", Cluster(paths, shards),
                                 lambda c, r, s=scenario: s(c, r), arguments.seed, passed, failed)
    pinned = " pool_size: 2, accounts: [OTHER, SVC]"
    pools = [("three Myelin, accounts with routes of their own", [m, m, m], pinned),
             ("three Myelin, pools of 5, 2 and none", [m, m, m], lambda i: f" pool_size: {[5, 2, -1][i]}")]
    if n:
        pools += [("Myelin with accounts of their own, one nats-server", [m, n, m], lambda i: pinned if i != 1 else "")]
    if x:
        pools += [("newest nats-server, accounts with routes of their own", [m, x, m], pinned),
                  ("newest nats-server, pools of 5, 3 and none", [m, x, m], lambda i: f" pool_size: {[5, 3, -1][i]}")]
    pools += [("three Myelin, compressed", [m, m, m], lambda i: " compression: " + ["s2_fast", "accept", "s2_auto"][i])]
    if n:
        pools += [("Myelin compressed, one nats-server", [m, n, m], lambda i: " compression: s2_fast" if i != 1 else "")]
    if x:
        pools += [("newest nats-server, compressed", [m, x, m], lambda i: " compression: " + ["s2_best", "s2_better", "on"][i]),
                  ("newest nats-server, compressed as Myelin likes", [x, m, m],
                   lambda i: " accounts: [OTHER], compression: " + ["accept", "s2_fast", "{mode: s2_auto, rtt_thresholds: [\"0s\", \"1s\"]}"][i])]
    for title, paths, extra in pools:
        # nats-server sends a request by another connection than its interest in the reply when sizes differ.
        for scenario in (random_work,) if "newest nats-server, pools" in title else (random_work, requests):
            if arguments.only and arguments.only not in f"{title}: {scenario.__name__}":
                continue
            passed, failed = run(f"{title}: {scenario.__name__}", Cluster(paths, 2, extra),
                                 lambda c, r, s=scenario: s(c, r), arguments.seed, passed, failed)
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        certificate, key = authority.issue("node", names="IP:127.0.0.1")
        tls = f' tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.file}" }}'
        tls_mixes = [("three Myelin with TLS", [m, m, m])]
        if n:
            tls_mixes += [("two Myelin, one nats-server with TLS", [m, n, m]),
                          ("one Myelin, two nats-servers with TLS", [n, m, n])]
        if x:
            tls_mixes += [("two Myelin, one newest nats-server with TLS", [x, m, m])]
        for title, paths in tls_mixes:
            for scenario in (random_work, requests):
                if arguments.only and arguments.only not in f"{title}: {scenario.__name__}":
                    continue
                passed, failed = run(f"{title}: {scenario.__name__}", Cluster(paths, 2, tls),
                                     lambda c, r, s=scenario: s(c, r), arguments.seed, passed, failed)
    if n and (not arguments.only or arguments.only in "migration"):
        passed, failed = run("migration", Cluster([n, n, n], 2, full_mesh=True),
                             lambda c, r: migration(c, r, m, 2), arguments.seed, passed, failed)
    print(f"cluster: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def run(title, cluster, scenario, seed, passed, failed):
    began = time.monotonic()
    try:
        with cluster:
            scenario(cluster, random.Random(seed))
    except Failure as failure:
        print(f"FAILED {title}: {failure}", flush=True)
        return passed, failed + 1
    print(f"ok {title} ({time.monotonic() - began:.1f} s)", flush=True)
    return passed + 1, failed


if __name__ == "__main__":
    sys.exit(main())
