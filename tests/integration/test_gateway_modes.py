#!/usr/bin/env python3
"""tests/integration/test_gateway_modes.py SERVER [OTHER] [--accounts N] [--seed N] - two clusters and a thousand accounts
whose interest is known in different ways.

Between the clusters stand proxies (gateway_proxy.py) that make a server of before 2.9 of each for half of the accounts: what
these want is guessed, and refused where nobody wants it, by subject or for the whole account; the other half is listed.
Interest changes, some accounts change from guessed to listed; after each change random messages of all accounts are
compared with a model: each plain subscription gets each message once, each queue group once, at home where it has
members there; nothing goes out that was refused, or that is not on a list; and /gatewayz says of each account how its
interest is known. With OTHER, a nats-server of 2.9, also one cluster of each, both as dialler and as acceptor.
"""
import argparse
import concurrent.futures
import json
import os
import random
import resource
import selectors
import signal
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import Client, Failure, Node, free_ports, pump  # noqa: E402
from gateway_proxy import GUESSED, LISTED, Proxy, matches  # noqa: E402

SUBJECTS = ["a", "b.c", "b.d"]
PATTERNS = SUBJECTS + ["b.*", ">"]
QUEUES = ["q", "r"]
WAIT_SECONDS = 60  # it only ends tests that fail


class Group:
    """Many clients that are read together."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.clients = []

    def add(self, client):
        self.clients.append(client)
        self.selector.register(client.socket, selectors.EVENT_READ, client)
        return client

    def pump(self, done, what):
        end = time.monotonic() + WAIT_SECONDS
        while not done():
            if time.monotonic() > end:
                raise Failure("waited in vain for " + what)
            for key, _ in self.selector.select(0.05):
                key.data.read()
                if key.data.closed or key.data.errors:
                    raise Failure("a client was told %r or closed" % key.data.errors)

    def flush(self):
        wanted = {client: client.pongs + 1 for client in self.clients}
        for client in self.clients:
            client.send(b"PING\r\n")
        self.pump(lambda: all(client.pongs >= pongs for client, pongs in wanted.items()), "PONGs")

    def close(self):
        for client in self.clients:
            client.close()
        self.selector.close()


class World:
    """Two clusters of one node, a proxy before each, and a client for each account at each."""

    def __init__(self, paths, accounts, rng):
        self.rng = rng
        self.names = ["U%d" % i for i in range(accounts)]
        self.group = Group()
        self.subscriptions = {}  # (account, side): {sid: (pattern, queue)}
        self.clients = {}        # (account, side)
        self.marks = ([], [])
        self.serial = 0
        ports = free_ports(10)
        text = "\n".join("%s { users: [{user: %s, password: %s}] }" % (n, n, n) for n in self.names + ["MARK"])
        self.proxies, self.nodes = [], []
        for side, path in enumerate(paths):
            port, route, gateway, http, proxy = ports[5 * side:5 * side + 5]
            other = ports[5 * (1 - side) + 4]
            ours = os.path.basename(path) == "myelin"
            node = Node(path, "n%d" % side, port, route, ["--shards", "2"] if ours else [], accounts=(
                'accounts { %s }\nhttp: "127.0.0.1:%d"\nwrite_deadline: "60s"\n'
                'gateway { name: G%d, listen: "127.0.0.1:%d", advertise: "127.0.0.1:%d"\n'
                'gateways: [{name: G%d, url: "nats://127.0.0.1:%d"}] }\n' % (text, http, side, gateway, proxy, 1 - side, other)))
            node.cluster_name, node.http = "G%d" % side, http
            self.nodes.append(node)
            modes = {name: rng.choice([GUESSED, LISTED]) for name in self.names}
            self.proxies.append(Proxy("G%d" % side, proxy, gateway, modes))

    def __enter__(self):
        for proxy in self.proxies:
            proxy.start()
        try:
            for node in self.nodes:
                node.start()
            for side, node in enumerate(self.nodes):
                self.marks[side].extend(self.group.add(Client(node, "MARK")) for _ in range(4))
                for name in self.names:
                    self.clients[name, side] = self.group.add(Client(node, name))
                    self.subscriptions[name, side] = {}
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.group.close()
        for node in self.nodes:
            if kind is not None and node.process is not None:
                print("---- %s (%s)\n%s" % (node.name, node.path, node.said()[-3000:]), file=sys.stderr)
            code = node.stop(signal.SIGINT if kind is None else signal.SIGKILL)
            if kind is None and code not in (0, 1):
                raise Failure("%s ended with %r" % (node.name, code))
        for proxy in self.proxies:
            proxy.stop()

    def until_listed(self):
        """Both have listed all accounts, which takes a moment: before, a dialler sends what nobody wants, and rightly so."""
        wanted = {*self.names, "MARK"}
        self.group.pump(lambda: all(wanted <= proxy.complete for proxy in self.proxies), "lists of all accounts")

    def barrier(self):
        """All interest made before is known on the other side: a gateway connection tells of it in order."""
        self.group.flush()
        self.serial += 1
        sids = []
        for side in (0, 1):
            sids.append([(client, client.subscribe("mark.%d.%d.%d" % (self.serial, side, i)))
                         for i, client in enumerate(self.marks[side])])

        def missing():
            return [(p, side, i, j) for side in (0, 1) for i, (client, sid) in enumerate(sids[side])
                    for j, p in enumerate(self.marks[1 - side])
                    if not any(m.sid == sid and m.body == b"%d" % j for m in client.messages)]

        def again():
            for p, side, i, j in missing():
                p.publish("mark.%d.%d.%d" % (self.serial, side, i), b"%d" % j)

        pump(self.marks[0] + self.marks[1], lambda: not missing(), again)
        for side in (0, 1):
            for client, sid in sids[side]:
                client.unsubscribe(sid)
                client.messages.clear()

    def change(self, share):
        """A part of the accounts changes what it wants; a third of all never wants anything."""
        for i, name in enumerate(self.names):
            if i % 3 == 0 or self.rng.random() > share:
                continue
            for side in (0, 1):
                client, mine = self.clients[name, side], self.subscriptions[name, side]
                for sid in [sid for sid in mine if self.rng.random() < 0.5]:
                    client.unsubscribe(sid)
                    del mine[sid]
                for _ in range(self.rng.randrange(3)):
                    entry = self.rng.choice(PATTERNS), self.rng.choice([None, None] + QUEUES)
                    mine[client.subscribe(*entry)] = entry
        self.barrier()

    def switch(self, share):
        """Some accounts that are guessed are listed from now on."""
        for proxy in self.proxies:
            names = [name for name in self.names if proxy.accounts[name].mode == GUESSED and self.rng.random() < share]
            proxy.do(lambda: [proxy.switch(name) for name in names])
        self.barrier()

    def expected(self, name, home, subject):
        """Plain receivers as (side, sid); of each group the (side, sid) of which one is to get it."""
        plain, groups = set(), {}
        for side in (0, 1):
            for sid, (pattern, queue) in self.subscriptions[name, side].items():
                if matches(pattern, subject):
                    if queue is None:
                        plain.add((side, sid))
                    else:
                        groups.setdefault(queue, set()).add((side, sid))
        for members in groups.values():
            if any(side == home for side, _ in members):
                members -= {member for member in members if member[0] != home}
        return plain, groups

    def work(self, count):
        """Random messages, compared with the model."""
        for client in self.group.clients:
            client.messages.clear()
        for proxy in self.proxies:
            proxy.do(proxy.begin_strict)
        sent, total = {}, 0
        for number in range(count):
            name, home, subject = self.rng.choice(self.names), self.rng.randrange(2), self.rng.choice(SUBJECTS)
            plain, groups = self.expected(name, home, subject)
            sent[b"%d" % number] = (name, subject, plain, groups)
            total += len(plain) + len(groups)
            self.clients[name, home].publish(subject, b"%d" % number)
        clients = list(self.clients.values())
        self.group.pump(lambda: sum(len(client.messages) for client in clients) >= total, "%d deliveries" % total)
        self.group.flush()
        self.barrier()
        self.group.flush()
        for proxy in self.proxies:
            proxy.do(lambda: setattr(proxy, "strict", False))
            if proxy.wrong:
                raise Failure("sent to %s, where nobody wants it: %r" % (proxy.cluster, proxy.wrong[:5]))
        self.compare(sent)

    def compare(self, sent):
        got = {body: [] for body in sent}
        for (name, side), client in self.clients.items():
            for m in client.messages:
                if m.body not in sent or sent[m.body][:2] != (name, m.subject):
                    raise Failure("%r of %s came to %s" % (m.body, m.subject, name))
                got[m.body].append((side, m.sid))
        for body, (name, subject, plain, groups) in sent.items():
            left = list(got[body])
            for wanted in [{receiver} for receiver in plain] + list(groups.values()):
                found = [receiver for receiver in left if receiver in wanted]
                if len(found) != 1:
                    raise Failure("%r (%s in %s) came %d times to %r" % (body, subject, name, len(found), wanted))
                left.remove(found[0])
            if left:
                raise Failure("%r (%s in %s) came to %r too" % (body, subject, name, left))

    def shown(self):
        """/gatewayz says of each account what the proxy has told."""
        for side, proxy in ((1, self.proxies[0]), (0, self.proxies[1])):
            with urllib.request.urlopen("http://127.0.0.1:%d/gatewayz?accs=1" % self.nodes[side].http, timeout=30) as answer:
                entries = json.load(answer)["outbound_gateways"][proxy.cluster]["accounts"]
            entries = {entry["name"]: (entry["interest_mode"], entry.get("no_interest_count", 0)) for entry in entries}
            for name, account in proxy.accounts.items():
                told = entries.get(name, ("Optimistic", 0))  # it may have said nothing yet
                if told != (("Interest-Only", 0) if account.mode == LISTED else ("Optimistic", len(account.silent))):
                    raise Failure("%s: of %s %r, %s with %d" % (self.nodes[side].path, name, told, account.mode,
                                                                 len(account.silent)))

    def kinds(self):
        """How many accounts are known how."""
        all_of = [account for proxy in self.proxies for account in proxy.accounts.values()]
        return "%d listed, %d guessed, %d refused" % (sum(a.mode == LISTED for a in all_of), sum(
            a.mode == GUESSED and not a.none for a in all_of), sum(a.none for a in all_of))


def scenario(paths, arguments, making):
    messages = arguments.messages
    with making:
        world = World(paths, arguments.accounts, random.Random(arguments.seed))
    with world:
        world.until_listed()
        world.change(1.0)
        for share, switched in ((0.3, 0.0), (0.3, 0.1), (0.5, 0.2)):
            world.work(messages)
            world.shown()
            world.switch(switched)
            world.change(share)
        world.work(messages)
        world.shown()
        kinds = world.kinds()
        if any(word.startswith("0 ") for word in kinds.split(", ")):
            raise Failure("not all modes were there: " + kinds)
        return kinds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    pairs = [("Myelin alone", [arguments.server, arguments.server])]
    if arguments.other:
        pairs.append(("Myelin and a nats-server", [arguments.server, arguments.other]))
    making = threading.Lock()  # ports are looked for just before they are needed, by one at a time

    def run(paths):
        began = time.monotonic()
        try:
            what = scenario(paths, arguments, making)
            return True, "as expected: %s (%.1f s)" % (what, time.monotonic() - began)
        except (Failure, OSError) as error:
            return False, "FAILED with seed %d: %s" % (arguments.seed, error)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
        for (title, _), (good, what) in zip(pairs, pool.map(run, [paths for _, paths in pairs])):
            failed += not good
            print("gateway modes: %s: %s" % (title, what))
    print("gateway modes: %d passed, %d failed" % (len(pairs) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
