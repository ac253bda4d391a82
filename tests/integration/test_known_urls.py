#!/usr/bin/env python3
"""tests/integration/test_known_urls.py SERVER [OTHER...] - servers that are judged by their certificates: by
verify_cert_and_check_known_urls and verify_and_map of `cluster` and `gateway`. By scripted peers, whose certificates name the
host of a configured URL, or the user of `authorization`, or do not, and between nodes, each OTHER among them. Runs against nats-server too, for proof of the rows.
"""
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
import test_gateways  # noqa: E402
import test_routes  # noqa: E402
from authority import Authority  # noqa: E402
from cluster_client import ACCOUNTS, Client, Failure, Node, Nodes, free_ports, pump, until_said  # noqa: E402

# The host of the URL that is known is 127.0.0.1. Only DNS names count, also for an address.
NAMES = [("DNS:127.0.0.1", True), ("DNS:other.test,DNS:127.0.0.1", True), ("DNS:*.0.0.1", True), ("IP:127.0.0.1", False),
         ("DNS:*.0.1", False), ("DNS:127.0.0.1.test", False), ("URI:127.0.0.1,email:127.0.0.1@127.0.0.1", False),
         (None, False)]
# With verify_and_map: the user of `authorization`, then the certificate's subject and other names. A subject counts as it is
# written, not in another order as among clients.
MAPPED = [("node@test", "/CN=x", "email:other@test,email:node@test", True), ("node.test", "/CN=x", "DNS:a.test,DNS:node.test", True),
          ("node.test", "/CN=x", "DNS:*.test", False), ("urn:node", "/CN=x", "URI:urn:node", True),
          ("127.0.0.1", "/CN=x", "IP:127.0.0.1", False), ("CN=node", "/CN=node", None, True), ("node", "/CN=node", None, False),
          ("CN=node,O=Org", "/O=Org/CN=node", "DNS:x", True), ("O=Org,CN=node", "/O=Org/CN=node", None, False),
          ("CN=node,O=Org,DC=a,DC=b", "/DC=a/DC=b/O=Org/CN=node", None, True),
          ("CN=node,O=Org", "/DC=a/DC=b/O=Org/CN=node", None, True), ("cn=node", "/CN=node", None, False),
          (None, "/CN=node", "DNS:127.0.0.1", False)]
VIOLATION = b"-ERR 'Authorization Violation'"


class Certificates:
    """Of one authority: each row's, those of nodes that are known and not, and a `tls` block with one of these."""

    def __init__(self, folder):
        self.authority = Authority(folder)
        self.rows = [(self.authority.issue(f"row{i}", "/CN=127.0.0.1", names), good) for i, (names, good) in enumerate(NAMES)]
        self.mapped = [(user, self.authority.issue(f"mapped{i}", subject, names), good)
                       for i, (user, subject, names, good) in enumerate(MAPPED)]
        self.known = self.authority.issue("known", names="IP:127.0.0.1,DNS:127.0.0.1")
        self.unknown = self.authority.issue("unknown", names="IP:127.0.0.1")

    def block(self, pair=None, checks=True, maps=False):
        certificate, key = pair or self.known
        more = "verify_cert_and_check_known_urls: true\n" if checks else ""
        more += "verify_and_map: true" if maps else ""
        return f' tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{self.authority.file}", timeout: 30\n{more} }}\n'

    def secure(self, peer, pair):
        context = ssl.create_default_context(cafile=self.authority.file)
        context.load_cert_chain(*pair)
        peer.socket = context.wrap_socket(peer.socket, server_hostname="127.0.0.1")
        return peer


def expect_judged(what, peer, good):
    """Let in, or sent away as with a wrong login."""
    if good:
        test_routes.expect(what, True, peer.open_after(b""))
    else:
        test_routes.expect(what, [VIOLATION], [line for line in peer.ends() if line.startswith(b"-ERR")])


def peers_of_routes(path, certificates, login=""):
    world = test_routes.World(path, certificates.block() + login)
    with world, socket.create_server(("127.0.0.1", 0)) as listener:  # that ends first: so does what waits for it
        world.node.routes = [listener.getsockname()[1]]
        test_routes.expect("reloaded", True, world.node.reload()[0])
        words = {"user": "u", "pass": "p"} if login else {}
        for i, (pair, good) in enumerate(certificates.rows):
            name = chr(ord("F") + i) * 56
            peer = certificates.secure(world.dial(), pair)
            # Who has the right name needs no login, who has not is not helped by it.
            peer.send(test_routes.connect_line(name, **({} if good else words)) + test_routes.info_line(name))
            expect_judged(NAMES[i][0], peer, good)
        world.node.extra = certificates.block(checks=False) + login
        test_routes.expect("reloaded", True, world.node.reload()[0])
        peer = certificates.secure(world.dial(), certificates.unknown)
        peer.send(test_routes.connect_line("Z" * 56, **words) + test_routes.info_line("Z" * 56))
        expect_judged("when nobody asks", peer, True)


def peers_of_routes_and_a_login(path, certificates):
    peers_of_routes(path, certificates, " authorization { user: u, password: p }\n")


def peers_of_routes_without_routes(path, certificates):
    with test_routes.World(path, certificates.block()) as world:
        peer = certificates.secure(world.dial(), certificates.known)
        peer.send(test_routes.connect_line() + test_routes.info_line())
        expect_judged("nobody is known", peer, False)


def peers_of_gateways(path, certificates, login="", words=()):
    world = test_gateways.World(path, certificates.block() + login, dials=True)
    with world:
        for i, (pair, good) in enumerate(certificates.rows):
            name = "GF" if good else f"G{i}"
            peer = certificates.secure(world.dial(), pair)
            peer.line()
            peer.send(test_gateways.connect_line(name, **({} if good else dict(words))))
            if good:
                peer.send(test_gateways.info_line(name, name=chr(ord("F") + i)))
            expect_judged(NAMES[i][0], peer, good)
        before = world.node.accounts
        world.node.accounts = before.replace("verify_cert_and_check_known_urls: true", "")
        test_routes.expect("taken", False, world.node.reload()[0])


def peers_of_gateways_and_a_login(path, certificates):
    peers_of_gateways(path, certificates, "authorization { user: u, password: p }\n", [("user", "u"), ("pass", "p")])


def login_of(user):
    return f' authorization {{ user: "{user}", password: p }}\n' if user else ""


def peers_of_routes_by_user(path, certificates):
    """The login in CONNECT does not count, neither way."""
    with test_routes.World(path, certificates.block(checks=False, maps=True)) as world:
        for i, (user, pair, good) in enumerate(certificates.mapped):
            world.node.extra = certificates.block(checks=False, maps=True) + login_of(user)
            test_routes.expect("reloaded", True, world.node.reload()[0])
            name = chr(ord("F") + i) * 56
            peer = certificates.secure(world.dial(), pair)
            words = {} if good else {"user": user or "u", "pass": "p"}
            peer.send(test_routes.connect_line(name, **words) + test_routes.info_line(name))
            expect_judged(f"{user} of {MAPPED[i][1:3]}", peer, good)


def peers_of_routes_by_user_or_url(path, certificates):
    """With both either will do."""
    with test_routes.World(path, certificates.block(maps=True) + login_of("CN=row3")) as world, \
            socket.create_server(("127.0.0.1", 0)) as listener:
        world.node.routes = [listener.getsockname()[1]]
        test_routes.expect("reloaded", True, world.node.reload()[0])
        by_user = certificates.authority.issue("by_user", "/CN=row3")
        for i, (pair, good) in enumerate(((by_user, True), (certificates.known, True), (certificates.unknown, False))):
            name = chr(ord("F") + i) * 56
            peer = certificates.secure(world.dial(), pair)
            peer.send(test_routes.connect_line(name) + test_routes.info_line(name))
            expect_judged(f"row {i}", peer, good)


def peers_of_gateways_by_user(path, certificates):
    for i in (0, 2, 6, 7, 12):
        user, pair, good = certificates.mapped[i]
        with test_gateways.World(path, certificates.block(checks=False, maps=True) + login_of(user), dials=True) as world:
            peer = certificates.secure(world.dial(), pair)
            peer.line()
            name = "GF" if good else "GX"
            peer.send(test_gateways.connect_line(name, **({} if good else {"user": user or "u", "pass": "p"})))
            if good:
                peer.send(test_gateways.info_line(name, name="F"))
            expect_judged(f"{user} of {MAPPED[i][1:3]}", peer, good)


# ---- nodes ----

class Pair(Nodes):
    def __init__(self, nodes):
        self.nodes = nodes

    def __enter__(self):
        super().__enter__()
        return self.nodes


def nodes_of_a_cluster(paths, certificates):
    """The second one is refused until the first one knows a URL with the name of its certificate."""
    ports = free_ports(4)
    nodes = [Node(path, "AB"[i], ports[2 * i], ports[2 * i + 1], extra=certificates.block(), accounts=ACCOUNTS)
             for i, path in enumerate(paths)]
    nodes[1].routes = [ports[1]]
    with Pair(nodes) as (one, other):
        until_said(one, "authentication error|Authorization Violation|Authentication Failure")
        one.routes = [ports[3]]
        test_routes.expect("reloaded", True, one.reload()[0])
        test_routes.linked(one, other)
        test_routes.linked(other, one)


def nodes_of_a_cluster_by_user(paths, certificates):
    """The second one is refused until the first one's user is the name of its certificate."""
    ports = free_ports(4)
    block = certificates.block(checks=False, maps=True)
    nodes = [Node(path, "AB"[i], ports[2 * i], ports[2 * i + 1], extra=block + login_of("CN=somebody"), accounts=ACCOUNTS)
             for i, path in enumerate(paths)]
    nodes[1].routes = [ports[1]]
    with Pair(nodes) as (one, other):
        until_said(one, "authentication error|Authorization Violation|Authentication Failure")
        one.extra = block + login_of("CN=known")
        test_routes.expect("reloaded", True, one.reload()[0])
        test_routes.linked(one, other)
        test_routes.linked(other, one)


def nodes_of_two_clusters_by_user(paths, certificates):
    nodes_of_two_clusters(paths, certificates, certificates.block(checks=False, maps=True) + login_of("CN=known"))


def nodes_of_two_clusters(paths, certificates, block=None):
    """Both know each other: each is let in by the other one."""
    ports = free_ports(6)
    block = block or certificates.block()
    nodes = []
    for i, path in enumerate(paths):
        gateway = (f'gateway {{ name: G{i}, listen: "127.0.0.1:{ports[3 * i + 2]}"\n'
                   f'gateways: [ {{name: G{1 - i}, url: "nats://127.0.0.1:{ports[5 - 3 * i]}"}} ]\n{block} }}\n')
        node = Node(path, "AB"[i], ports[3 * i], ports[3 * i + 1], accounts=ACCOUNTS + gateway)
        node.cluster_name = f"G{i}"
        nodes.append(node)
    with Pair(nodes) as (one, other):
        test_routes.linked(one, other)
        test_routes.linked(other, one)


def main():
    paths = [os.path.abspath(path) if "/" in path else shutil.which(path) for path in sys.argv[1:]]
    passed = failed = 0
    runs = [(name, case, paths[0]) for name, case in sorted(globals().items()) if name.startswith("peers_")]
    for other in [paths[0]] + [path for path in paths[1:] if path]:
        for pair in ([paths[0], other], [other, paths[0]])[:1 + (other != paths[0])]:
            runs += [(name, case, pair) for name, case in sorted(globals().items()) if name.startswith("nodes_")]
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates(folder)
        for name, case, arguments in runs:
            began = time.monotonic()
            try:
                case(arguments, certificates)
                passed += 1
                print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except (Failure, OSError) as failure:
                failed += 1
                print(f"FAILED {name} with {arguments}: {failure}", flush=True)
    print(f"known URLs: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
