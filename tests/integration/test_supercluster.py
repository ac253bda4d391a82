#!/usr/bin/env python3
"""tests/integration/test_supercluster.py SERVER [--nats PATH] [--newest PATH] - clusters joined by gateways, of one kind
and mixed.

Random work in every mix is compared with the model of test_cluster.py: each plain subscription gets each message of its
account that it matches exactly once, each queue group exactly once over all clusters, and in the publisher's own where
that has a member. Nodes are killed and started again; connections are counted (spec/gateways.md 1.1).
"""
import argparse
import concurrent.futures
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from cluster_client import ACCOUNTS, Client, Failure, Node, Nodes, free_ports, pump  # noqa: E402
import test_cluster  # noqa: E402


SYSTEM = ACCOUNTS.replace("accounts {", "system_account: SYS\naccounts {\n SYS { users = [ {user: sys, password: sys} ] }")


class SuperCluster(Nodes):
    """Clusters by lists of programs. All know the first node of each; with `chain` each knows the one before only."""

    def __init__(self, clusters, shards=2, chain=False, extra="", accounts=ACCOUNTS):
        ports = free_ports(4 * sum(len(paths) for paths in clusters))
        self.nodes, self.clusters = [], []
        names = [f"G{letter}" for letter, _ in zip("ABCDEF", clusters)]
        places, at = [], 0
        for paths in clusters:
            places.append([ports[at + 4 * i:at + 4 * i + 4] for i in range(len(paths))])
            at += 4 * len(paths)
        for c, paths in enumerate(clusters):
            known = range(len(clusters)) if not chain else range(max(0, c - 1), c)
            remotes = ", ".join(f'{{name: {names[o]}, url: "nats://127.0.0.1:{places[o][0][2]}"}}' for o in known)
            nodes = []
            for i, path in enumerate(paths):
                gateway = (f'gateway {{ name: {names[c]}, listen: "127.0.0.1:{places[c][i][2]}"\n'
                           f'gateways: [{remotes}]\n{extra}\n}}\nhttp: "127.0.0.1:{places[c][i][3]}"\n')
                ours = "myelin" in os.path.basename(path)
                node = Node(path, f"{names[c]}{i}", places[c][i][0], places[c][i][1],
                            ["--shards", str(shards)] if ours else [], "", accounts + gateway)
                node.cluster_name, node.gateway_port, node.http_port = names[c], places[c][i][2], places[c][i][3]
                node.routes = [places[c][0][1]] if i > 0 else []
                nodes.append(node)
            self.clusters.append(nodes)
            self.nodes += nodes


ESTABLISHED, PIDFD_GETFD = 1, 438
LIBC = ctypes.CDLL(None, use_errno=True)


def peer_ports(pid):
    """Where the established connections of a process go: each socket is asked by itself, for the system's list of all of
    them is long where tests go on, slow to read, and no picture of a moment."""
    found, process = [], os.pidfd_open(pid)
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            copy = LIBC.syscall(PIDFD_GETFD, process, int(fd), 0)
            if copy < 0:
                if ctypes.get_errno() == errno.EBADF:  # it was closed meanwhile
                    continue
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)
                continue
            with socket.socket(fileno=copy) as at:
                try:
                    if at.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
                        found.append(at.getpeername()[1])
                except OSError:  # no TCP, or gone
                    pass
    finally:
        os.close(process)
    return found


def listed_ports(pid):
    """The same from the system's list."""
    mine, found = set(), []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            mine.add(target[8:-1])
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                words = line.split()
                if words[3] == "01" and words[9] in mine:
                    found.append(int(words[2].rsplit(":", 1)[1], 16))
    return found


def sockets(node, ports):
    """To which of these ports established connections of this process go, each as often as there are some."""
    try:
        found = peer_ports(node.process.pid)
    except PermissionError:  # the system lets nobody look into another process
        found = listed_ports(node.process.pid)
    return [port for port in found if port in ports]


def counts(world, rng):
    """One outbound connection of each node to each other cluster; inside each a mesh, whose pairs may have pools."""
    del rng
    gateway_ports = {node.gateway_port for node in world.nodes}
    route_nodes = {node.cluster_port: node for node in world.nodes}
    wanted = [len(world.clusters) - 1] * len(world.nodes)
    routes = sum(len(nodes) * (len(nodes) - 1) // 2 for nodes in world.clusters)

    def right():
        pairs = {frozenset((node.name, route_nodes[port].name)) for node in world.nodes
                 for port in sockets(node, route_nodes)}
        return [len(sockets(node, gateway_ports)) for node in world.nodes] == wanted and len(pairs) == routes

    looks = [0]

    def settled():  # twins that two servers dialled at the same time may still be resolved behind the first look
        looks[0] = looks[0] + 1 if right() else 0
        return looks[0] >= 8

    pump([Client(world.nodes[0])], settled)


def connect_all(world, each=1):
    clients = [(Client(node), "APP") for node in world.nodes for _ in range(each)]
    return clients + [(Client(node, "other"), "OTHER") for node in world.nodes]


def random_work(world, rng):
    model = test_cluster.World(rng, connect_all(world))
    model.barrier()
    for _ in range(3):
        model.change()
        model.barrier()
        model.work(100)
    victim = rng.choice([node for node in world.nodes[1:]])
    witness, asker = Client(victim, "svc"), Client(world.nodes[0], "svc")
    witness.subscribe("alive")
    asker.subscribe("answer")
    pump([witness, asker], lambda: witness.messages, lambda: asker.publish("alive", b""))
    victim.stop(signal.SIGKILL)
    gone = [client for client in model.all() if client.node is victim]
    model.clients = [entry for entry in model.clients if entry[0] not in gone]
    model.subscriptions = {key: value for key, value in model.subscriptions.items() if key[0] not in gone}
    test_cluster.settle(model, asker)
    model.work(60)
    victim.start()
    model.clients += [(Client(victim), "APP"), (Client(victim, "other"), "OTHER")]
    model.barrier()
    model.change()
    model.barrier()
    model.work(60)
    for client in model.all():
        client.close()


def locality(world, rng):
    """A group is served at home where it has members, and by one other cluster where it has not."""
    clients = {node: Client(node) for node in world.nodes}
    model = test_cluster.World(rng, [(client, "APP") for client in clients.values()])
    subject = f"local.{rng.randrange(1 << 30)}"
    for nodes in world.clusters:
        clients[rng.choice(nodes)].subscribe(subject, "everywhere")
    away = [clients[nodes[-1]] for nodes in world.clusters[1:]]
    for client in away:
        client.subscribe(subject + ".away", "away")
    model.barrier()
    for nodes in world.clusters:
        for client in clients.values():
            client.messages.clear()
        publisher = clients[rng.choice(nodes)]
        for _ in range(60):
            publisher.publish(subject, b"")
        home = [clients[node] for node in nodes]
        pump(list(clients.values()), lambda: sum(m.subject == subject for c in home for m in c.messages) == 60)
        model.barrier()
        if sum(m.subject == subject for c in clients.values() for m in c.messages) != 60:
            raise Failure("a group was served away from home too")
    for client in clients.values():
        client.messages.clear()
    for _ in range(60):
        clients[world.nodes[0]].publish(subject + ".away", b"")
    pump(list(clients.values()), lambda: sum(m.subject == subject + ".away" for c in away for m in c.messages) >= 60)
    model.barrier()
    if sum(m.subject == subject + ".away" for c in clients.values() for m in c.messages) != 60:
        raise Failure("a group elsewhere did not get each message once")
    for client in clients.values():
        client.close()


def requests(world, rng):
    """Between all pairs of nodes, at once; services and streams of another account."""
    test_cluster.World(rng, [(Client(node), "APP") for node in world.nodes]).barrier()
    test_cluster.requests(world, rng)


def asked(node, path):
    """Status and text."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}{path}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def shape(value, names):
    """What is there, without what it says; clusters have the same name on both sides then."""
    if isinstance(value, dict):
        return {"cluster" if key in names else key: shape(value[key], names) for key in value}
    if isinstance(value, list):
        return [shape(item, names) for item in value]
    return type(value).__name__


def monitoring(world, rng):
    """/gatewayz and the gateway part of /varz have the same shape on both kinds of server after the same work."""
    clients = connect_all(world)
    test_cluster.World(rng, clients).barrier()
    for client, _ in clients:
        client.subscribe("shown")
        client.subscribe("shown.too", "q")
        client.flush()
    watcher = clients[0][0]
    pump([watcher], lambda: all(asked(node, "/gatewayz")[1].count('"rtt"') == 2 for node in world.nodes), watcher.flush)
    names = {nodes[0].cluster_name for nodes in world.clusters}
    for path in ("/gatewayz", "/gatewayz?accs=1", "/gatewayz?acc_name=APP", "/gatewayz?gw_name=GX", "/gatewayz?accs=x",
                 "/gatewayz?acc_name=NONE", "/gatewayz?subs=x"):
        replies = [asked(node, path) for node in world.nodes]
        if path.endswith("=x"):
            if path != "/gatewayz?subs=x" and replies[0] != replies[1]:  # which 2.9 does not know
                raise Failure(f"{path}: {replies}")
            continue
        documents = [json.loads(text) for _, text in replies]
        for document in documents:
            for entries in (document["outbound_gateways"] or {}).values():
                entries["accounts"] = [a for a in entries.get("accounts", []) if a["name"] == "APP"]
            for entry in [entry for entries in document["inbound_gateways"].values() for entry in entries]:
                entry["accounts"] = [a for a in entry.get("accounts", []) if a["name"] == "APP"]
        shapes = [shape(document, names) for document in documents]
        if shapes[0] != shapes[1] or list(shapes[0]) != list(shapes[1]):
            raise Failure(f"{path} differs:\n{shapes[0]}\n{shapes[1]}")
    ours = json.loads(asked(world.nodes[0], "/gatewayz?acc_name=APP")[1])
    other = world.clusters[1][0].cluster_name
    account = ours["outbound_gateways"][other]["accounts"][0]
    if (account["interest_mode"], account["num_queue_subs"]) != ("Interest-Only", 1) or account["num_subs"] < 2:
        raise Failure(f"{account}")
    blocks = [json.loads(asked(node, "/varz")[1])["gateway"] for node in world.nodes]
    if shape(blocks[0], names) != shape(blocks[1], names) or list(blocks[0]) != list(blocks[1]):
        raise Failure(f"varz differs: {blocks}")


def interest_lists(world, rng):
    """/gatewayz lists what the other cluster wants, each pattern and group once; nats-server 2.9 does not know `subs`."""
    del rng
    plain = {"listed.%d" % n for n in range(2500)}  # several pages of a shard
    groups = {("listed.%d" % n, "q") for n in range(100)}
    clients = [Client(node) for node in world.nodes]
    for client in clients:
        for subject in plain:
            client.subscribe(subject)
        for subject, queue in groups:
            client.subscribe(subject, queue)
        client.flush()
    for node, other in (world.nodes, reversed(world.nodes)):
        if json.loads(asked(node, "/varz")[1])["version"].startswith("2.9."):
            continue

        def told(parameters):
            document = json.loads(asked(node, "/gatewayz?" + parameters)[1])
            entries = document["outbound_gateways"].get(other.cluster_name, {}).get("accounts", [])
            inbound = document["inbound_gateways"].get(other.cluster_name, [])
            if "subscriptions_list" in json.dumps(inbound):
                raise Failure("what an inbound connection wants")
            return {account["name"]: account for account in entries}

        pump(clients, lambda: told("acc_name=APP").get("APP", {}).get("num_subs") == len(plain) + len(groups))
        account = told("acc_name=APP&subs=1")["APP"]
        if sorted(account["subscriptions_list"]) != sorted(list(plain) + [subject for subject, _ in groups]):
            raise Failure("subs=1: %d listed" % len(account["subscriptions_list"]))
        account = told("accs=true&subs=DETAIL")["APP"]
        detail = [(s["subject"], s.get("qgroup")) for s in account["subscriptions_list_detail"]]
        if sorted(detail, key=str) != sorted([(s, None) for s in plain] + list(groups), key=str):
            raise Failure("subs=detail: %d listed" % len(detail))
        first = account["subscriptions_list_detail"][0]
        if (first["sid"], first["msgs"]) != ("", 0) or "cid" not in first or "account" in first:
            raise Failure("%r" % first)
        if "subscriptions_list" in json.dumps(told("acc_name=OTHER&subs=1")) or told("subs=1"):
            raise Failure("lists of nothing")
    for client in clients:
        client.close()


def system(world, rng):
    """One question in the system account is answered by all servers of all clusters, at once."""
    for node in world.nodes:
        asker = Client(node, "sys")
        wanted, number = len(world.nodes), [0]

        def answers():
            return {json.loads(m.body)["server"]["id"] for m in asker.messages
                    if m.subject == f"_INBOX.{node.name}.{number[0]}"}

        def ask():
            number[0] += 1
            asker.subscribe(f"_INBOX.{node.name}.{number[0]}")
            asker.publish("$SYS.REQ.SERVER.PING", b"", f"_INBOX.{node.name}.{number[0]}")

        pump([asker], lambda: len(answers()) == wanted, ask, 0.5)
        asker.close()


def discovery(world, rng):
    """Clusters that know one other only find all of them."""
    counts(world, rng)
    random_work(world, rng)


def cut_off(world, rng):
    """A whole cluster dies and comes back."""
    model = test_cluster.World(rng, connect_all(world))
    model.barrier()
    for node in world.clusters[-1]:
        node.stop(signal.SIGKILL)
    lost = [entry for entry in model.clients if entry[0].node in world.clusters[-1]]
    model.clients = [entry for entry in model.clients if entry not in lost]
    model.change()
    model.barrier()
    model.work(60)
    for node in world.clusters[-1]:
        node.start()
    model.clients += [(Client(node), "APP") for node in world.clusters[-1]]
    model.barrier()
    model.work(60)
    counts(world, rng)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--nats", default=shutil.which("nats-server"))
    parser.add_argument("--newest", default=None)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    arguments = parser.parse_args()
    m, n, x = os.path.abspath(arguments.server), arguments.nats, arguments.newest
    print(f"seed {arguments.seed}" + ("" if n else "; nats-server is not installed: no mixed clusters") +
          ("" if x else "; the newest nats-server is not there"))
    runs = [("1, 2 and 3 Myelin", dict(clusters=[[m], [m, m], [m, m, m]]), (counts, random_work, locality, requests)),
            ("a chain of Myelin", dict(clusters=[[m], [m], [m, m]], chain=True, shards=1), (discovery, cut_off))]
    if n:
        runs += [("Myelin and a nats-server", dict(clusters=[[m], [n]]), (random_work, requests, monitoring, interest_lists)),
                 ("2 and 2, the system account", dict(clusters=[[m, n], [n, m]], accounts=SYSTEM), (system,)),
                 ("1, 2 and 3 mixed", dict(clusters=[[m], [n, m], [m, n, n]]), (counts, random_work, locality, requests)),
                 ("a chain, mixed", dict(clusters=[[n], [m], [n, m]], chain=True), (discovery, cut_off))]
    if x:
        runs += [("Myelin and the newest nats-server", dict(clusters=[[m], [x]]), (random_work, requests, interest_lists)),
                 ("2 and 2 with the newest", dict(clusters=[[x, m], [m, x]]), (counts, random_work, locality))]
    if n and x:
        runs += [("Myelin, nats-server and the newest", dict(clusters=[[m], [n], [x]]), (random_work, requests))]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        certificate, key = authority.issue("node", names="IP:127.0.0.1")
        tls = f' tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.file}" }}'
        runs.append(("Myelin with TLS and a login", dict(clusters=[[m], [m]], extra=tls +
                     "\n authorization { user: gw, password: secret }"), (random_work,)))
        if n:
            runs.append(("Myelin and a nats-server with TLS", dict(clusters=[[m], [n]], extra=tls), (random_work,)))
        making = threading.Lock()  # ports are looked for just before they are needed, by one at a time

        def run(job):
            name, how, scenario = job
            with making:
                world = SuperCluster(**how)
            return test_cluster.run(name, world, scenario, arguments.seed, 0, 0)

        jobs = [(f"{title}: {scenario.__name__}", how, scenario)
                for title, how, scenarios in runs for scenario in scenarios
                if not arguments.only or arguments.only in f"{title}: {scenario.__name__}"]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:  # they wait for dials most of the time
            for more, less in pool.map(run, jobs):
                passed, failed = passed + more, failed + less
    print(f"supercluster: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
