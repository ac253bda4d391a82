#!/usr/bin/env python3
"""tests/integration/test_reload_cluster.py SERVER [--nats PATH] [--newest PATH] - what a reload changes of `cluster {}`.

First a scripted peer sees what one server says and does when its file changes; then nodes of one kind and mixed are
reloaded while messages flow between those whom the change does not concern: none of these is lost, doubled or late.
With a nats-server as SERVER the rows that it knows prove themselves.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from cluster_client import ACCOUNTS, WAIT_SECONDS, Client, Failure, Node, Nodes, free_ports, pump  # noqa: E402
from test_routes import Peer, World, connect_line, expect, expect_refused, info_line, linked  # noqa: E402


AT_ONCE = 4  # worlds


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


def permissions(imports, exports):
    def block(side, allowed):
        return "" if allowed is None else "\n %s { allow: [%s] }" % (side, ", ".join(f'"{subject}"' for subject in allowed))
    return " permissions {" + block("import", imports) + block("export", exports) + "\n }"


def told(peer, client, marker):
    """What the peer is told about APP up to the interest in a new subject, without that."""
    sid = client.subscribe(marker)
    lines = []
    while not lines or marker.encode() not in lines[-1]:
        line = peer.line()
        if line is None:
            raise Failure(f"the route ended: {lines[-5:]}")
        lines.append(line)
    client.unsubscribe(sid)
    peer.until(r"^RS- APP " + re.escape(marker))
    return sorted(line.decode() for line in lines[:-1] if b" APP " in line and b" $SYS." not in line)


def newer_permissions_change(world):
    """Routes are told what they are to send now, and what no longer; what they may not have they lose."""
    node, client, peer = world.node, world.client(), world.member("F")
    for subject, queue in (("a.x", None), ("b.x", None), ("b.x", "q"), ("b.x", "r"), ("c", None), ("b.gone", None)):
        sid = client.subscribe(subject, queue)
    client.flush()
    told(peer, client, "a.begin")
    peer.send(b"RS+ APP e.a\r\nRS+ APP e.b\r\nRS+ APP e.b q 1\r\nRS+ APP e.*\r\nRS+ APP a.ready\r\n")
    peer.until_message(client, "a.ready")
    reloaded(node, "Reloaded: cluster\n", extra=permissions(["a.>"], ["e.a", "a.>"]))
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("INFO", (["a.>"], ["e.a", "a.>"]), (info["import"]["allow"], info["export"]["allow"]))
    expect("told", ["RS- APP b.gone", "RS- APP b.x", "RS- APP b.x q", "RS- APP b.x r", "RS- APP c"],
           told(peer, client, "a.first"))
    client.unsubscribe(sid)  # the peer has heard of it already
    client.subscribe("b.new")
    expect("told", [], told(peer, client, "a.second"))
    for subject in ("e.b", "e.c", "e.a"):
        client.publish(subject, subject.encode())
    expect("line", b"RMSG APP e.a 3", peer.line())
    peer.body(3)
    peer.send(b"RS+ APP e.b\r\n")  # it may not, and is not heard
    expect("open", True, peer.open_after(b""))
    reloaded(node, "Reloaded: cluster\n", extra=permissions(["b.>"], ["e.*", "a.>"]))
    peer.until(r"^INFO ")
    client.subscribe("b.end")
    lines = []
    while "RS+ APP b.end" not in lines:
        lines.append(peer.line().decode())
    expect("told", ["RS+ APP b.end", "RS+ APP b.new", "RS+ APP b.x", "RS+ APP b.x q 1", "RS+ APP b.x r 1", "RS- APP a.x"],
           sorted(line + ("1" if line.endswith(" ") else "") for line in lines if " APP " in line))  # nats-server leaves it out
    peer.send(b"RS+ APP e.b\r\nRS+ APP e.*\r\n")  # as it does on that INFO
    heard(peer, client, "e.b")
    reloaded(node, "Reloaded: cluster\n", extra="")
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("INFO", (None, None), (info.get("import"), info.get("export")))
    expect("told", ["RS+ APP a.x", "RS+ APP c"], told(peer, client, "a.third"))


def heard(peer, client, subject):
    """Until what is published there comes."""
    wanted = b"RMSG APP %s 0\r\n\r\n" % subject.encode()
    pump([client], lambda: peer.sees(wanted), lambda: client.publish(subject, b""))
    client.flush()
    expect("open", True, peer.open_after(b""))
    peer.buffer = b""


def ours_interest_is_told_again_when_the_peer_takes_more(world):
    client, peer = world.client(), world.member("F", export={"allow": ["a"]})
    client.subscribe("b")
    client.subscribe("a", "q")
    client.flush()
    told(peer, client, "begin")
    peer.send(info_line("F" * 56, export={"allow": ["a"]}))
    expect("as before", [], told(peer, client, "first"))
    peer.send(info_line("F" * 56, export={"allow": ["a", "b"]}))
    expect("open", True, peer.open_after(b""))
    lines = sorted(line.decode() for line in peer.buffer.split(b"\r\n") if b" APP " in line)
    expect("told", ["RS+ APP a q 1", "RS+ APP b"], lines)


def ours_many_patterns_change_in_steps(world):
    """Interest that changes while a reload is told: in the end the peer knows what it may."""
    count = 20000
    client = world.client()
    client.send(b"".join(b"SUB old.%d %d\r\nSUB new.%d %d\r\n" % (n, n + 10, n, n + 10 + count) for n in range(count)))
    client.flush()
    world.node.extra = permissions(["old.>", "end.>"], None)
    world.node.reload()
    peer = world.dial()
    peer.send(connect_line() + info_line())
    known = set()

    def read_until(marker):
        while True:
            words = peer.line().decode().split()
            if words[0] == "RS+":
                known.add(words[2])
            elif words[0] == "RS-":
                known.discard(words[2])
            if words[:1] == ["RS+"] and words[2] == marker:
                return
    client.next_sid = 10 + 2 * count
    client.subscribe("end.one")
    read_until("end.one")
    world.node.extra = permissions(["new.>", "end.>"], None)
    thread = threading.Thread(target=world.node.reload)
    thread.start()
    for n in range(0, count, 50):
        client.send(b"".join(b"UNSUB %d\r\nUNSUB %d\r\n" % (n + i + 10, n + i + 11 + count) for i in range(0, 50, 2)))
        client.flush()
    thread.join()
    client.subscribe("end.two")
    read_until("end.two")
    wanted = {f"new.{n}" for n in range(0, count, 2)} | {"end.one", "end.two"}
    known = {subject for subject in known if not subject.startswith("$SYS")}
    expect("too many", [], sorted(known - wanted)[:5])
    expect("missing", [], sorted(wanted - known)[:5])


LOGIN = " authorization { user: u, password: %s }"


def case_a_login_changes(world):
    """Who has come with one that is none any more goes; whom the server has dialled itself stays."""
    listener = Listener(world, "L")
    reloaded(world.node, routes=[listener.port], extra=LOGIN % "p")
    dialled = listener.accept()

    def come(letter, password):
        peer = world.dial()
        peer.send(connect_line(letter * 56, user="u", **{"pass": password}) + info_line(letter * 56))
        return peer

    def errors(peer):
        return [line for line in peer.ends() if line.startswith(b"-ERR")]

    first = come("F", "p")
    expect("open", True, first.open_after(b""))
    reloaded(world.node, "Reloaded: cluster\n", extra=LOGIN % f'"{HASH_OF_P}"')
    expect("with the hash", True, come("J", "p").open_after(b""))  # checked behind the first one's
    expect("first", True, first.open_after(b"RS+ APP x\r\n"))
    reloaded(world.node, "Reloaded: cluster\n", extra=LOGIN % "q")
    expect("first", [b"-ERR 'Authorization Violation'"], errors(first))
    expect("with the old one", [b"-ERR 'Authorization Violation'"], errors(come("F", "p")))
    second = come("G", "q")
    expect("open", True, second.open_after(b""))
    reloaded(world.node, "Reloaded: cluster\n", extra=LOGIN % f'"{HASH_OF_P}"')
    expect("second", [b"-ERR 'Authorization Violation'"], errors(second))
    third = come("H", "p")
    expect("open", True, third.open_after(b""))
    reloaded(world.node, "Reloaded: cluster\n", extra="")
    for what, peer in (("third", third), ("dialled", dialled), ("without a login", come("I", "nothing"))):
        expect(what, True, peer.open_after(b""))


HASH_OF_P = "$2a$04$Z0cap5u/GXKoUePxwC06g.W7A2FDfRaFtVj.rBafPQCGO734dyzCq"


def secured(world, authority, pair):
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(*pair)
    context.check_hostname = False
    peer = world.dial()
    peer.socket = context.wrap_socket(peer.socket)
    return peer


def case_certificates_change(world):
    """New ones for who comes later; who is there stays."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        old, new = Authority(one), Authority(two)
        pairs = [authority.issue("node", names="IP:127.0.0.1") for authority in (old, new)]

        def tls(authority, pair):
            return f' tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", ca_file: "{authority.file}", timeout: 30 }}'
        clear = world.member("E")
        reloaded(world.node, "Reloaded: cluster\n", extra=tls(old, pairs[0]))
        expect("open", True, clear.open_after(b""))
        first = secured(world, old, pairs[0])
        first.send(connect_line() + info_line())
        expect("open", True, first.open_after(b""))
        reloaded(world.node, "Reloaded: cluster\n", extra=tls(new, pairs[1]))
        second = secured(world, new, pairs[1])
        second.send(connect_line("G" * 56) + info_line("G" * 56))
        for peer in (clear, first, second):
            expect("open", True, peer.open_after(b""))
        try:
            stranger = secured(world, old, pairs[0])
            raise Failure(f"the old certificates are good: {stranger.line()}")
        except ssl.SSLError:
            pass
        reloaded(world.node, "Reloaded: cluster\n", extra="")
        third = world.dial()
        third.send(connect_line("H" * 56) + info_line("H" * 56))
        for peer in (clear, first, second, third):
            expect("open", True, peer.open_after(b""))


def newer_pins_change(world):
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        mine = authority.issue("node", names="IP:127.0.0.1")
        others = {name: authority.issue(name, names="IP:127.0.0.1") for name in "FG"}

        def tls(pinned):
            pins = ", ".join(f'"{pin_of(others[name][0])}"' for name in pinned)
            return (f' tls {{ cert_file: "{mine[0]}", key_file: "{mine[1]}", ca_file: "{authority.file}", '
                    f'timeout: 30, pinned_certs: [{pins}] }}')
        reloaded(world.node, extra=tls("FG"))
        peers = {name: secured(world, authority, others[name]) for name in "FG"}
        for name, peer in peers.items():
            peer.send(connect_line(name * 56) + info_line(name * 56))
            expect("open", True, peer.open_after(b""))
        said = reloaded(world.node, "Reloaded: cluster\n", extra=tls("F"))
        if "Disconnect 1 clients due to pinned certs reload" not in said:
            raise Failure(f"not said who goes: {said}")
        peers["G"].ends()
        expect("open", True, peers["F"].open_after(b""))


def pin_of(file):
    """As pinned_certs has it: SHA-256 of the key."""
    key = subprocess.run(["openssl", "x509", "-in", file, "-noout", "-pubkey"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def pooled(world, listener, wanted):
    """Connections of a pool, dialled by the server: by their slot or account."""
    lines = {}
    while set(lines) != set(wanted):
        peer = listener.greet(route_pool_size=3)
        said = json.loads(peer.until(r"^INFO (.*)$").group(1))
        peer.send(b"PONG\r\n")  # nats-server asks with a PING whether its login was good, before it dials again
        lines[said.get("route_account", said.get("route_pool_idx", 0))] = peer
        if not set(lines) <= set(wanted):
            raise Failure(f"dialled for {set(lines)}, not {wanted}")
    for peer in lines.values():
        expect("open", True, peer.open_after(b""))
    return lines


def newer_an_account_gets_a_line_and_loses_it(world):
    listener, client = Listener(world, "L"), world.client()
    client.subscribe("want.a")
    client.flush()
    reloaded(world.node, "Reloaded: cluster routes", routes=[listener.port])
    lines = pooled(world, listener, {0, 1, 2, "$SYS"})
    lines[1].send(b"RS+ APP peer.a\r\n")
    heard(lines[1], client, "peer.a")
    request = []
    thread = threading.Thread(target=lambda: request.append(lines[1].until(r'^INFO (.*"route_acc_add_reqid".*)$').group(1)))
    thread.start()
    reloading = threading.Thread(target=lambda: reloaded(world.node, "Reloaded: cluster\n", extra=" accounts: [APP]"))
    reloading.start()
    thread.join(WAIT_SECONDS)
    said = json.loads(request[0])
    expect("about", ("APP", 3), (said["route_account"], said["route_pool_size"]))
    expect("dialled before the answer", False, listener.dialled())
    if world.ours:  # nats-server is not done with the first before the answer
        reloading.join(WAIT_SECONDS)
        reloaded(world.node, "Reloaded: cluster\n", extra=" accounts: [APP], ping_max: 4")
    del said["route_account"]
    client.publish("peer.a", b"nobody")  # what was said on the slot is forgotten
    client.flush()
    lines[1].send(b"INFO " + json.dumps(said).encode() + b"\r\n")
    reloading.join(WAIT_SECONDS)
    own = pooled(world, listener, {"APP"})["APP"]
    told_own = own.buffer
    if b"RS+ want.a\r\n" not in told_own:
        raise Failure(f"not told on its own line: {told_own}")
    expect("open", True, lines[1].open_after(b""))
    if b"RMSG" in lines[1].buffer:
        raise Failure(f"sent on the slot: {lines[1].buffer}")
    own.send(b"RS+ peer.b\r\n")
    wanted = b"RMSG peer.b 0\r\n\r\n"
    pump([client], lambda: own.sees(wanted), lambda: client.publish("peer.b", b""))
    lines[1].buffer = b""
    reloaded(world.node, "Reloaded: cluster\n", extra="")
    own.ends()
    lines[1].until(r"^RS\+ APP want.a$")
    lines[1].send(b"RS+ APP peer.c\r\n")
    heard(lines[1], client, "peer.c")
    for what, peer in lines.items():
        expect(f"line {what}", True, peer.open_after(b""))


def newer_the_pool_grows_and_shrinks(world):
    listener = Listener(world, "L")
    plain = world.member("P")  # of a server without pools
    reloaded(world.node, "Reloaded: cluster routes", routes=[listener.port])
    lines = pooled(world, listener, {0, 1, 2, "$SYS"})
    for size, wanted in ((5, {0, 1, 2, 3, 4}), (2, {0, 1, 2})):  # the greater one of both counts
        if not world.ours:
            break  # nats-server goes by its own alone
        reloaded(world.node, "Reloaded: cluster\n", extra=f" pool_size: {size}")
        for what, peer in lines.items():
            if what != "$SYS":
                peer.ends()
        lines = pooled(world, listener, wanted)
        expect("the other one", True, plain.open_after(b""))
    reloaded(world.node, "Reloaded: cluster\n", extra=" pool_size: -1")
    for what, peer in lines.items():
        peer.ends()
    peer = listener.greet(route_pool_size=3)
    info = json.loads(peer.until(r"^INFO (.*)$").group(1))
    expect("pool", None, info.get("route_pool_size"))
    expect("open", True, peer.open_after(b""))


def ours_a_pool_is_not_an_option_of_old_servers(world):
    refused(world.node, 'unable to add account "NOPE" to the list of dedicated routes: account missing', extra=" accounts: [NOPE]")
    refused(world.node, "pool_size cannot be negative if pinned accounts are specified", extra=" accounts: [APP], pool_size: -1")


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
            peer.more()
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


def flows_between(one, other, reloads):
    """In both directions, while those nodes are reloaded; a nats-server, whose accounts are empty for a moment then,
    would lose some."""
    return [Flow(one, other), Flow(other, one)] if all(node.ours for node in reloads) else []


class Servers(Nodes):
    """So many servers; which dials which is the scenario's to say."""

    def __init__(self, paths, extra="", accounts=ACCOUNTS, routes=()):
        ports = free_ports(2 * len(paths))
        self.nodes = []
        for i, path in enumerate(paths):
            ours = "myelin" in os.path.basename(path)
            node = Node(path, f"n{i}", ports[2 * i], ports[2 * i + 1], ["--shards", "3"] if ours else [], extra, accounts)
            node.ours = ours
            self.nodes.append(node)
        for one, other in routes:
            self.nodes[one].routes.append(self.nodes[other].cluster_port)

    def __enter__(self):
        super().__enter__()
        return self.nodes


def linked_by(one, other, subject, user="app"):
    """Until a message of that subject goes from one to the other."""
    a, b = Client(one, user), Client(other, user)
    b.subscribe(subject)
    pump([a, b], lambda: b.messages, lambda: a.publish(subject, b""))
    a.close()
    b.close()


def lines_of(node):
    """What /routez says of a node's routes: slots as None, accounts by name; and how each is compressed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/routez", timeout=WAIT_SECONDS) as answer:
        routes = json.load(answer)["routes"]
    return [(route["remote_name"], route.get("account")) for route in routes], [route.get("compression") for route in routes]


def until_lines(node, other, wanted):
    """Until a node has those lines to another one."""
    end, lines = time.monotonic() + WAIT_SECONDS, None
    while time.monotonic() < end:
        lines = sorted(str(account) for name, account in lines_of(node)[0] if name == other.name)
        if lines == sorted(str(account) for account in wanted):
            return
        time.sleep(0.01)
    raise Failure(f"{node.name} has {lines} to {other.name}, not {wanted}")


def monitored(nodes):
    """The same ports are in the file at each reload."""
    for node, port in zip(nodes, free_ports(len(nodes))):
        node.http_port = port
        node.accounts += f'\nhttp: "127.0.0.1:{port}"\n'


def unlinked(one, other, subject="unlinked"):
    """Until messages of one do not reach the other any more; the clients stay where they are."""
    a, b = Client(one), Client(other)
    sid = b.subscribe(subject)
    count = [0, 0]

    def gone():
        return count[1] > 2 and len([m for m in b.messages if m.sid == sid]) == count[0]

    def probe():
        arrived = len([m for m in b.messages if m.sid == sid])
        count[1] = count[1] + 1 if arrived == count[0] else 0
        count[0] = arrived
        a.publish(subject, b"")
        a.flush()
        b.flush()

    pump([a, b], gone, probe)
    a.close()
    b.close()


def nodes_join_and_leave(paths):
    """A third one is listed and left out again, at one of two nodes that have traffic; all know of it by gossip."""
    with Servers(paths, routes=[(1, 0)]) as (one, other, third):
        linked(one, other)
        flows = flows_between(one, other, [one])
        for _ in range(2):
            reloaded(one, "Reloaded: cluster routes", routes=[third.cluster_port])
            linked(one, third)
            linked(third, other)
            linked(other, one)  # which has told of the third by then, and does not later, when it is left out
            reloaded(one, "Removed route ", "Reloaded: cluster routes", routes=[])
            unlinked(one, third)
        for flow in flows:
            flow.finish()


def nodes_permissions_under_way(paths):
    """What may be imported and exported changes at one node and back, beside subjects that it does not concern."""
    deny = ' permissions { import { deny: ["in.>", "both.>"] }, export { deny: ["out.>", "both.>"] } }'
    with Servers(paths[:2], routes=[(1, 0)], accounts="") as (one, other):
        linked(one, other)
        flows = flows_between(one, other, [one])
        early = [Client(one), Client(other)]
        for client in early:
            for subject in ("in.early", "out.early", "both.early"):
                client.subscribe(subject)
        for _ in range(2):
            reloaded(one, "Reloaded: cluster\n", extra=deny)
            unlinked(one, other, "out.x")
            unlinked(other, one, "in.x")
            linked_by(one, other, "in.x")
            linked_by(other, one, "out.x")
            reloaded(one, "Reloaded: cluster\n", extra="")
            for number, client in enumerate(early):  # what was wanted all the time is wanted again
                client.messages.clear()
                pump(early, lambda c=client: {m.subject for m in c.messages} >= {"in.early", "out.early", "both.early"},
                     lambda n=number: [early[1 - n].publish(s, b"") for s in ("in.early", "out.early", "both.early")])
        for client in early:
            client.close()
        for flow in flows:
            flow.finish()


NEW = "accounts {\n    NEW { users = [ {user: new, password: new} ] }"


def heard_by(receiver, publisher, subject):
    """Until what is published there comes."""
    receiver.messages.clear()
    pump([receiver, publisher], lambda: any(m.subject == subject for m in receiver.messages),
         lambda: publisher.publish(subject, b""))


def nobody_there(client, subject):
    """Until a request is answered by the server itself."""
    inbox = f"inbox.{subject}"
    sid = client.subscribe(inbox)
    client.messages.clear()
    pump([client], lambda: any(m.subject == inbox and m.header and b"503" in m.header for m in client.messages),
         lambda: client.publish(subject, b"", inbox))
    client.unsubscribe(sid)


def account_comes_and_goes(one, other, keeps=True):
    """An account appears at one node first; what its clients want there is known at the other when that has it too. It
    goes, and nobody wants anything in it any more. `keeps`: whether the other takes note of what a route says of an
    account that it does not have; nats-server does not."""
    linked(one, other)
    linked(other, one)
    flows = flows_between(one, other, [one, other])
    without, with_new = ACCOUNTS, ACCOUNTS.replace("accounts {", NEW, 1)
    reloaded(one, "Reloaded: accounts", accounts=one.more + with_new)
    first = Client(one, "new")

    def subscribe():
        for subject, queue in (("to.one", None), ("group.one", "q"), ("gone.one", None)):
            sid = first.subscribe(subject, queue)
        first.unsubscribe(sid)
        first.flush()
    if keeps:
        subscribe()
    for round_number in range(2 if other.ours else 1):  # nats-server forgets what was wanted of one that was here before
        reloaded(other, "Reloaded: accounts", accounts=other.more + with_new)
        second = Client(other, "new")
        if not keeps:
            subscribe()
        heard_by(first, second, "to.one")
        heard_by(first, second, "group.one")
        second.subscribe(f"to.other.{round_number}")
        second.subscribe("group.other", "q")
        heard_by(second, first, f"to.other.{round_number}")
        heard_by(second, first, "group.other")
        nobody_there(second, "gone.one")
        reloaded(other, "Reloaded: accounts", accounts=other.more + without)
        pump([second], lambda: second.closed)
        second.close()
        nobody_there(first, f"to.other.{round_number}")
        nobody_there(first, "group.other")
    first.close()
    for flow in flows:
        flow.finish()


def pairs_of(paths):
    """Who has the account first."""
    return [(paths[0], paths[2])] + ([(paths[2], paths[0])] if paths[0] != paths[2] else [])


def nodes_an_account_comes_and_goes(paths):
    for pair in pairs_of(paths):
        with Servers(pair, routes=[(1, 0)]) as (one, other):
            one.more = other.more = ""
            account_comes_and_goes(one, other, other.ours)


def gateway_block(number, ports, others, tls=""):
    remotes = ", ".join(f'{{ name: G{other}, url: "nats://127.0.0.1:{ports[other]}" }}' for other in others)
    return f'gateway {{\n name: G{number}\n listen: "127.0.0.1:{ports[number]}"\n gateways: [ {remotes} ]\n{tls}\n}}\n'


def nodes_an_account_comes_and_goes_over_gateways(paths):
    for pair in pairs_of(paths):
        world, ports = Servers(pair), free_ports(2)
        for i, node in enumerate(world.nodes):
            node.cluster_name = f"G{i}"
            node.more = gateway_block(i, ports, [1 - i])
            node.accounts = node.more + ACCOUNTS
        with world as (one, other):
            account_comes_and_goes(one, other)


def nodes_gateways_get_new_certificates(paths):
    """Who is connected stays so; a third cluster, which has the new ones from the beginning, comes when the others have."""
    world, ports = Servers(paths), free_ports(3)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        authorities = [Authority(one), Authority(two)]
        pairs = [authority.issue("node", names="IP:127.0.0.1") for authority in authorities]
        tls = [f'tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", ca_file: "{authority.file}", timeout: 30 }}'
               for authority, pair in zip(authorities, pairs)]
        others = ([1], [0], [0])
        for i, node in enumerate(world.nodes):
            node.cluster_name = f"G{i}"
            node.accounts = gateway_block(i, ports, others[i], tls[i == 2]) + ACCOUNTS
        with world as nodes:
            linked(nodes[0], nodes[1])
            linked(nodes[1], nodes[0])
            flows = flows_between(nodes[0], nodes[1], nodes[:2])
            refused(nodes[0], "config reload not supported for Gateway", accounts=gateway_block(0, ports, [], tls[0]) + ACCOUNTS)
            refused(nodes[0], "config reload not supported for Gateway",
                    accounts=gateway_block(0, ports, [1], tls[0].replace("timeout: 30", "timeout: 31")) + ACCOUNTS)
            refused(nodes[0], "config reload not supported for Gateway", accounts=ACCOUNTS)
            for i in (0, 1):
                reloaded(nodes[i], accounts=gateway_block(i, ports, others[i], tls[1]) + ACCOUNTS)
            for a, b in ((0, 2), (2, 0), (1, 2), (2, 1)):
                linked(nodes[a], nodes[b])
            for flow in flows:
                flow.finish()


def pools_accounts_under_way(paths):
    """One account after the other gets lines of its own and loses them, node by node, beside another one's traffic."""
    world = Servers(paths[:2], routes=[(1, 0)])
    monitored(world.nodes)
    with world as (one, other):
        linked(one, other)
        flows = flows_between(one, other, [one, other])
        ones, others = Client(one, "other"), Client(other, "other")
        early = [ones.subscribe("to.one"), others.subscribe("to.other")]
        for block in (" accounts: [OTHER]", " accounts: [SVC]", ""):
            wanted = [None, None, None, "$SYS"] + re.findall(r"[A-Z]{3,}", block)
            for node in (one, other):
                reloaded(node, "Reloaded: cluster\n", extra=block)
            until_lines(one, other, wanted)
            until_lines(other, one, wanted)
            for user in ("other", "svc", "app"):
                linked_by(one, other, "x", user)
                linked_by(other, one, "y", user)
            for client, publisher, subject in ((ones, others, "to.one"), (others, ones, "to.other")):
                client.messages.clear()
                pump([ones, others], lambda c=client: c.messages, lambda p=publisher, s=subject: p.publish(s, b""))
        for client, sid in ((ones, early[0]), (others, early[1])):
            client.unsubscribe(sid)
            client.close()
        for flow in flows:
            flow.finish()


def pools_sizes_under_way(paths):
    """Pools grow and shrink node by node; a third server, which has none, has traffic with both meanwhile."""
    plain = [paths[3]] if len(paths) > 3 else []
    world = Servers(paths[:2] + plain, routes=[(1, 0)] + ([(0, 2), (1, 2)] if plain else []))
    monitored(world.nodes[:2])
    with world as nodes:
        one, other = nodes[:2]
        flows = []
        if plain and one.ours and other.ours:
            for a, b in ((one, nodes[2]), (nodes[2], other)):
                linked(a, b)
                flows.append(Flow(a, b))
        for sizes in ((5, 5), (2, 2), (-1, 3)):
            for node, size in zip((one, other), sizes):
                reloaded(node, extra=f" pool_size: {size}")
            slots = 1 if min(sizes) < 0 else max(sizes)
            if one.ours and other.ours:
                until_lines(one, other, [None] * slots + (["$SYS"] if slots > 1 else []))
            for user in ("app", "other", "svc", "cli"):
                linked_by(one, other, "x", user)
                linked_by(other, one, "y", user)
        for flow in flows:
            flow.finish()


def pools_compression_under_way(paths):
    """Routes are closed only where it has to be settled anew; from one way to another messages just go on."""
    world = Servers(paths[:2], routes=[(1, 0)])
    monitored(world.nodes)
    with world as (one, other):
        def until_compressed(wanted):
            end = time.monotonic() + WAIT_SECONDS
            while lines_of(one)[1] != [wanted] * 4 or lines_of(other)[1] != [wanted] * 4:
                if time.monotonic() > end:
                    raise Failure(f"not {wanted}: {lines_of(one)}, {lines_of(other)}")
                time.sleep(0.01)
        until_compressed("off")
        reloaded(one, "Reloaded: cluster\n", extra=" compression: s2_fast")
        until_compressed("s2_fast")
        linked(one, other)
        linked(other, one)
        flows = flows_between(one, other, [one])
        for mode in ("s2_best", "{mode: s2_auto, rtt_thresholds: [\"0s\", \"1s\"]}", "s2_better"):
            reloaded(one, "Reloaded: cluster\n", extra=f" compression: {mode}")
        for flow in flows:
            flow.finish()
        reloaded(one, "Reloaded: cluster\n", extra=" compression: off")
        until_compressed("off")
        linked(one, other)
        linked(other, one)


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
            if name.startswith("case_") or (ours and name.startswith("ours_")) or
            (name.startswith("newer_") and (ours or "current" in path))]
    m, n, x = path, arguments.nats, arguments.newest
    mixes = [("of one kind", [m, m, m])]
    for missing in [what for what, there in (("nats-server", n), ("the newest nats-server", x)) if ours and not there]:
        print(f"reload of clusters: {missing} is not there, and no mixes with it", flush=True)
    if ours and n:
        mixes += [("beside nats-server", [m, n, n]), ("a nats-server beside", [m, m, n])]
    for title, paths in mixes:
        runs += [(f"{name} {title}", lambda f=scenario, p=paths: f(p)) for name, scenario in sorted(globals().items())
                 if name.startswith("nodes_") and (ours or "permissions" not in name)]  # of nats-server they need more
    mixes = [("of one kind", [m, m, m, n] if n else [m, m, m])] if ours else []
    if ours and x:
        mixes += [("beside the newest", [m, x, m]), ("the newest beside", [x, m, m])]
    for title, paths in mixes:
        runs += [(f"{name} {title}", lambda f=scenario, p=paths: f(p)) for name, scenario in sorted(globals().items())
                 if name.startswith("pools_")]
    return runs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--nats", default=shutil.which("nats-server"))
    parser.add_argument("--newest", default=None)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.server = os.path.abspath(arguments.server)
    runs = [(name, run) for name, run in runs_of(arguments) if arguments.only in name]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:  # they wait more than they work
        results = list(pool.map(attempt, runs))
    failed = results.count(False)
    print(f"reload of clusters: {len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


def attempt(named):
    name, run = named
    began = time.monotonic()
    try:
        run()
    except (Failure, OSError) as failure:
        print(f"FAILED {name}: {failure}", flush=True)
        return False
    print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
