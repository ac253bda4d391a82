#!/usr/bin/env python3
"""tests/integration/test_gateways.py SERVER - the gateway port as a scripted peer sees it, dialled and dialling: the rows
of spec/gateways.md 21 that ask for one (numbers in the names). Runs against nats-server too, for proof of the rows.
"""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import select
import signal
import socket
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import ACCOUNTS, WAIT_SECONDS, Client, Failure, Node, free_ports, pump, until_said  # noqa: E402
from test_routes import Peer  # noqa: E402


class GatewayPeer(Peer):
    """What goes on in the system account by itself is not looked at: messages, and what servers want for a while."""

    def line(self):
        while (line := super().line()) is not None and re.match(rb"([RH]MSG|RS[+-]) \$SYS ", line):
            if not line.startswith(b"RS"):
                self.body(int(line.split()[-1]))
        return line


def hash_of(name):
    """spec/gateways.md 11.3"""
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join(letters[byte % 62] for byte in hashlib.sha256(name.encode()).digest()[:6])


def connect_line(gateway="GF", **more):
    fields = {"echo": False, "verbose": False, "pedantic": False, "tls_required": False, "headers": False, "name": "F" * 56,
              "cluster": ""}
    if gateway is not None:
        fields["gateway"] = gateway
    fields.update(more)
    return b"CONNECT " + json.dumps(fields).encode() + b"\r\n"


def info_line(gateway="GF", port=1, lists=True, name="F", **more):
    fields = {"server_id": name * 56, "server_name": name, "version": "2.9.10", "proto": 0, "go": "", "host": "127.0.0.1",
              "port": port, "headers": True, "max_payload": 1048576}
    if gateway is not None:
        fields.update({"gateway": gateway, "gateway_urls": [f"127.0.0.1:{port}"], "gateway_url": f"127.0.0.1:{port}",
                       "gateway_nrp": True})
        if lists:
            fields["gateway_iom"] = True
    fields.update(more)
    return b"INFO " + json.dumps(fields).encode() + b"\r\n"


def command(number, account=None, gateway="GF"):
    fields = {"server_id": "", "server_name": "", "version": "", "proto": 0, "go": "", "host": "", "port": 0,
              "headers": False, "max_payload": 0, "gateway": gateway, "gateway_cmd": number}
    if account is not None:
        fields["gateway_cmd_payload"] = base64.b64encode(account.encode()).decode()
    return b"INFO " + json.dumps(fields).encode() + b"\r\n"


def info_of(line):
    if not line.startswith(b"INFO "):
        raise Failure(f"INFO wanted, {line} came")
    return json.loads(line[5:])


class World:
    """One server GA, a listener that it may dial as GF, and peers that end with the case."""

    def __init__(self, path, extra="", dials=False, top="", shards=2, alone=False):
        ports = free_ports(3)
        self.ours = "myelin" in os.path.basename(path)
        self.listener = socket.create_server(("127.0.0.1", 0))  # lives from here on, so that no port is taken twice
        self.listener.settimeout(WAIT_SECONDS)
        self.port = self.listener.getsockname()[1]
        remotes = f'{{name: GF, url: "nats://127.0.0.1:{self.port}"}}' if dials else ""
        gateway = "" if alone else f'gateway {{ name: GA, listen: "127.0.0.1:{ports[2]}"\ngateways: [{remotes}]\n{extra}\n}}\n'
        self.node = Node(path, "A", ports[0], ports[1], ["--shards", str(shards)] if self.ours else [], "",
                         ACCOUNTS + top + gateway)
        self.node.cluster_name = "GA"
        self.gateway_port = ports[2]
        self.peers = []

    def __enter__(self):
        self.node.start()
        return self

    def __exit__(self, kind, value, trace):
        for peer in self.peers:
            peer.close()
        self.listener.close()
        code = self.node.stop(signal.SIGKILL if kind else signal.SIGINT)
        if kind is None and code not in (0, 1):
            raise Failure(f"the server ended with {code}: {self.node.said()[-2000:]}")

    def keep(self, connection):
        peer = GatewayPeer(connection)
        self.peers.append(peer)
        return peer

    def dial(self, port=None):
        """To the gateway port, or that of routes: they may open a moment behind the clients'."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return self.keep(socket.create_connection(("127.0.0.1", port or self.gateway_port), timeout=WAIT_SECONDS))
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                select.select([], [], [], 0.01)

    def accept(self):
        """The server has dialled."""
        return self.keep(self.listener.accept()[0])

    def inbound(self, gateway="GF", **more):
        """A registered connection to the server; its first INFO. What we were told so far is still to be read."""
        peer = self.dial()
        first = info_of(peer.line())
        peer.send(connect_line(gateway) + info_line(gateway, self.port, **more))
        return peer, first

    def outbound(self, lists=True, **more):
        """A connection that the server dialled, registered; its own INFO."""
        peer = self.accept()
        peer.send(info_line("GF", self.port, lists, **more))
        peer.until("^CONNECT ")
        return peer, info_of(peer.line())

    def both(self, lists=True):
        out, _ = self.outbound(lists)
        into, _ = self.inbound()
        into.until(r'"gateway_cmd":3,"gateway_cmd_payload":"QVBQ"')  # APP
        return out, into


def expect(line, wanted):
    if line != wanted:
        raise Failure(f"{wanted} wanted, {line} came")


def told_until_end_of(peer, account):
    """All lines up to the end of an account's list."""
    payload = base64.b64encode(account.encode()).decode().encode()
    lines = []
    while True:
        line = peer.line()
        if line is None:
            raise Failure(f"it ended after {lines[-5:]}")
        lines.append(line)
        if b'"gateway_cmd":3' in line and payload in line:
            return lines


def quiet(peer, client):
    """Nothing but PINGs has come when all that the client did before has been done."""
    client.flush()
    client.flush()
    peer.socket.settimeout(0.15)
    try:
        while True:
            data = peer.socket.recv(1 << 16)
            if not data:
                raise Failure("the connection ended")
            peer.buffer += data
    except socket.timeout:
        pass
    peer.socket.settimeout(WAIT_SECONDS)
    rest = peer.buffer.replace(b"PING\r\n", b"").replace(b"PONG\r\n", b"")
    rest = re.sub(rb"RS[+-] \$SYS [^\r]*\r\n", b"", rest)
    while (own := re.match(rb"[RH]MSG \$SYS [^\r]* (\d+)\r\n", rest)):
        rest = rest[own.end() + int(own.group(1)) + 2:]
    peer.buffer = b""
    if rest:
        raise Failure(f"unexpected: {rest[:300]}")


# ---- accepting ----

def row_1_first_info(world):
    info = info_of(world.dial().line())
    own = f"127.0.0.1:{world.gateway_port}"
    wanted = {"gateway": "GA", "gateway_urls": [own], "gateway_url": own, "gateway_nrp": True, "gateway_iom": True,
              "host": "127.0.0.1", "port": world.gateway_port, "headers": True, "max_payload": 1048576, "server_name": "A"}
    for key, value in wanted.items():
        if info.get(key) != value:
            raise Failure(f"{key} is {info.get(key)}, not {value}")
    if "cluster" in info:
        raise Failure("a gateway's INFO names no cluster")


def row_2_silence(world):
    peer = world.dial()
    peer.line()
    expect(peer.ends()[-1], b"-ERR 'Authentication Timeout'")


def row_3_silence_with_timeout(world):
    peer = world.dial()
    expect(info_of(peer.line()).get("auth_required"), True)
    expect(peer.ends()[-1], b"-ERR 'Authentication Timeout'")


row_3_silence_with_timeout.extra = "authorization { user: u, password: p, timeout: 0.5 }"


def row_4_anything_before_connect(world):
    for first in (b"PING\r\n", info_line(), b"RMSG APP a 1\r\nx\r\n", b"RS+ APP a\r\n", b"A+ APP\r\n", b"hello\r\n",
                  b"LS+ a APP b\r\n"):
        peer = world.dial()
        peer.line()
        peer.send(first)
        ended = peer.ends()
        if ended[-1:] != [b"-ERR 'Authorization Violation'"]:
            raise Failure(f"{first} was answered {ended}")


def row_5_6_wrong_port(world):
    for line in (connect_line(None), b'CONNECT {"name":"x","lang":"go"}\r\n',
                 b'CONNECT {"echo":true,"name":"r","cluster":"GA","lnoc":true}\r\n'):
        peer = world.dial()
        peer.line()
        peer.send(line)
        expect(peer.ends()[-1], b"-ERR 'attempted to connect to gateway port'")


def row_7_login(world):
    for wrong in ({}, {"user": "u", "pass": "x"}, {"user": "x", "pass": "p"}):
        peer = world.dial()
        peer.line()
        peer.send(connect_line(**wrong))
        expect(peer.ends()[-1], b"-ERR 'Authorization Violation'")
    peer = world.dial()
    peer.line()
    peer.send(connect_line(user="u", **{"pass": "p"}) + info_line(port=world.port))
    told_until_end_of(peer, "APP")


row_7_login.extra = "authorization { user: u, password: p }"


def row_8_reject_unknown(world):
    peer = world.dial()
    peer.line()
    peer.send(connect_line("GX"))
    expect(peer.ends()[-1], b"-ERR 'Connection to gateway \"GA\" rejected'")
    peer, _ = world.inbound("GF")
    told_until_end_of(peer, "APP")


row_8_reject_unknown.extra = "reject_unknown: true"
row_8_reject_unknown.dials = True


def row_9_duplicate_name(world):
    peer, _ = world.inbound(server_name="A")
    if any(line.startswith(b"-ERR") for line in peer.ends()):
        raise Failure("a duplicate name is closed without a word")
    out = world.accept()
    out.send(info_line("GF", world.port, server_name="A"))
    if out.ends():
        raise Failure("a duplicate name is closed without a word")


row_9_duplicate_name.dials = True


def row_15_16_burst(world):
    client = Client(world.node)
    client.subscribe("pre.q", "q1")
    client.subscribe("pre.q", "q1")
    client.subscribe("pre.a")
    client.subscribe("pre.a")
    client.flush()
    peer, _ = world.inbound()
    lines, ended = [], set()
    while len(ended) < 6:  # $G, $SYS and four more
        line = peer.line()
        lines.append(line)
        if b'"gateway_cmd":3' in line:
            ended.add(info_of(line)["gateway_cmd_payload"])
    queues = [i for i, line in enumerate(lines) if re.match(rb"RS\+ \S+ \S+ \S+ \d+$", line)]
    begins = [i for i, line in enumerate(lines) if b'"gateway_cmd":2' in line]
    if [lines[i] for i in queues] != [b"RS+ APP pre.q q1 1"] or queues[0] > begins[0] or len(begins) != len(ended):
        raise Failure(f"told {lines}")
    app = base64.b64encode(b"APP").decode().encode()
    start = next(i for i, line in enumerate(lines) if b'"gateway_cmd":2' in line and app in line)
    end = next(i for i, line in enumerate(lines) if b'"gateway_cmd":3' in line and app in line)
    if [line for line in lines[start:end] if line.startswith(b"RS+ APP")] != [b"RS+ APP pre.a"]:
        raise Failure(f"told {lines[start:end]}")
    for line in lines:
        if line.startswith(b"INFO") and set(info_of(line)) - {"gateway_cmd_payload"} != {
                "server_id", "server_name", "version", "proto", "go", "host", "port", "headers", "max_payload", "gateway",
                "gateway_cmd"} and info_of(line)["gateway_cmd"] != 1:
            raise Failure(f"keys of {line}")


def row_17_18_19_changes(world):
    peer, _ = world.inbound()
    told_until_end_of(peer, "APP")
    client, second = Client(world.node), Client(world.node)
    first = client.subscribe("foo")
    expect(peer.until("foo").string, b"RS+ APP foo")
    again = second.subscribe("foo")
    quiet(peer, second)
    client.unsubscribe(first)
    quiet(peer, client)
    second.unsubscribe(again)
    expect(peer.until("foo").string, b"RS- APP foo")
    one = client.subscribe("bar", "q")
    expect(peer.until("bar").string, b"RS+ APP bar q 1")
    two = second.subscribe("bar", "q")
    quiet(peer, second)
    client.subscribe("bar", "r")
    expect(peer.until("bar").string, b"RS+ APP bar r 1")
    client.unsubscribe(one)
    quiet(peer, client)
    second.unsubscribe(two)
    expect(peer.until("bar").string, b"RS- APP bar q")
    client.subscribe("w.>")
    expect(peer.until("w").string, b"RS+ APP w.>")
    client.close()
    gone = sorted([peer.line(), peer.line()])
    expect(gone, [b"RS- APP bar r", b"RS- APP w.>"])


def row_21_22_24_25_messages_in(world):
    peer, _ = world.inbound()
    told_until_end_of(peer, "APP")
    plain, member, other = Client(world.node), Client(world.node), Client(world.node)
    plain.subscribe("foo")
    member.subscribe("foo", "q")
    other.subscribe("foo", "r")
    for client in (plain, member, other):
        client.flush()
    peer.send(b"RMSG APP nobody 1\r\nx\r\n" b"RMSG APP foo 1\r\n1\r\n" b"RMSG APP foo | q 1\r\n2\r\n"
              b"RMSG APP foo + rep q r 1\r\n3\r\n" b"HMSG APP foo + rep q 12 13\r\nNATS/1.0\r\n\r\n4\r\n"
              b"RMSG APP foo rep 1\r\n5\r\n")
    pump([plain, member, other], lambda: len(plain.messages) == 5 and len(member.messages) == 3 and other.messages)
    expect([(m.body, m.reply) for m in plain.messages],
           [(b"1", None), (b"2", None), (b"3", "rep"), (b"4", "rep"), (b"5", "rep")])
    expect([(m.body, m.reply) for m in member.messages], [(b"2", None), (b"3", "rep"), (b"4", "rep")])
    expect([m.body for m in other.messages], [b"3"])
    expect(member.messages[2].header, b"NATS/1.0\r\n\r\n")


def row_23_unknown_account(world):
    peer, _ = world.inbound()
    told_until_end_of(peer, "APP")
    peer.send(b"RMSG NOPE foo 1\r\nx\r\n" * 3 + b"RMSG ALSO foo 1\r\nx\r\n")
    expect(peer.until("^A-").string, b"A- NOPE")
    expect(peer.until("^A-").string, b"A- ALSO")


def row_51_reserved(world):
    client = Client(world.node)
    client.publish("_GR_.abcdef.abcdef.x", b"")
    client.flush()
    expect(client.errors, [b"-ERR 'Permissions Violation for Publish to \"_GR_.abcdef.abcdef.x\"'"])


def row_47_48_mapped_subjects_in(world):
    peer, first = world.inbound()
    told_until_end_of(peer, "APP")
    client = Client(world.node)
    client.subscribe("ib.*")
    client.subscribe("ib.*", "q")
    client.flush()
    own, server = hash_of("GA"), hash_of(first["server_id"])
    for number, (cluster, id_hash) in enumerate([(own, server), (own, "unknwn"), ("xxxxxx", server), (own, server)]):
        peer.send(b"RMSG APP _GR_.%s.%s.ib.%d 1\r\nx\r\n" % (cluster.encode(), id_hash.encode(), number))
    pump([client], lambda: sum(m.subject == "ib.3" for m in client.messages) == 2)
    expect(sorted(m.subject for m in client.messages), ["ib.0", "ib.0", "ib.1", "ib.1", "ib.3", "ib.3"])


def row_65_66_wrong_way(world):
    for line, said in ((b"RS+ APP a\r\n", None), (b"RS- APP a\r\n", None), (b"A+ APP\r\n", None), (b"A- APP\r\n", None),
                       (b"LS+ a APP b\r\n", b"-ERR 'Unknown Protocol Operation'"),
                       (b"LMSG l APP a 1\r\nx\r\n", b"-ERR 'Unknown Protocol Operation'"),
                       (b"FOO\r\n", b"-ERR 'Unknown Protocol Operation'")):
        if not world.ours and line.startswith(b"A"):
            continue  # ends a nats-server
        peer, _ = world.inbound()
        told_until_end_of(peer, "APP")
        peer.send(line)
        errors = [got for got in peer.ends() if got.startswith(b"-ERR")]
        expect(errors, [said] if said else [])


def row_67_second_inbound(world):
    first, _ = world.inbound()
    told_until_end_of(first, "APP")
    second, _ = world.inbound()
    told_until_end_of(second, "APP")
    client = Client(world.node)
    client.subscribe("both")
    expect(first.until("both").string, b"RS+ APP both")
    expect(second.until("both").string, b"RS+ APP both")


def row_57_gossip_to_dialer(world):
    out, _ = world.outbound()
    peer, _ = world.inbound("GX", name="X")
    info = info_of(peer.until('"gateway":"GF"').string)
    expect((info["gateway_cmd"], info["gateway_urls"]), (1, [f"127.0.0.1:{world.port}"]))
    if not out.open_after(b""):
        raise Failure("the connection went")


row_57_gossip_to_dialer.dials = True


def row_learns_from_inbound(world):
    """6.4: an inbound connection of a cluster that nobody configured is dialled back at once."""
    world.inbound()
    out, info = world.outbound()
    expect(info["gateway"], "GA")
    if not out.open_after(b""):
        raise Failure("the connection went")


# ---- dialling ----

def row_10_13_14_dial(world):
    peer = world.accept()
    readable, _, _ = select.select([peer.socket], [], [], 0.3)
    if readable:
        raise Failure("something was said before INFO")
    peer.send(info_line("GF", world.port))
    connect = json.loads(peer.line()[8:])
    for key, value in {"echo": False, "verbose": False, "pedantic": False, "tls_required": False, "headers": False,
                       "cluster": "", "gateway": "GA"}.items():
        expect((key, connect.get(key)), (key, value))
    info = info_of(peer.line())
    expect((info["server_id"], info["gateway"], info["gateway_iom"], info["gateway_nrp"]), (connect["name"], "GA", True, True))


row_10_13_14_dial.dials = True


def row_11_12_wrong_peers(world):
    peer = world.accept()
    peer.send(info_line(None))
    expect(peer.ends(), [b"-ERR 'Attempt to connect to gateway \"GF\" using wrong port'"])
    peer = world.accept()
    peer.send(info_line("OTHER"))
    expect(peer.ends(), [b"-ERR 'Connection from \"GA\" rejected, wanted to connect to \"GF\", this is \"OTHER\"'"])
    world.outbound()  # and goes on trying


row_11_12_wrong_peers.dials = True


def row_27_34_35_listing_peer(world):
    peer, _ = world.outbound()
    client = Client(world.node)
    peer.send(b"RS+ APP early\r\nRS+ APP queue q 1\r\nPING\r\n")
    peer_has_taken(peer)
    client.publish("early", b"x")
    client.publish("other", b"x")
    quiet(peer, client)
    client.publish("queue", b"x")
    expect(peer.until("queue").string, b"RMSG APP queue | q 1")
    peer.body(1)
    peer.send(command(2, "APP") + b"RS+ APP foo\r\nRS+ APP w.*\r\n" + command(3, "APP") + b"PING\r\n")
    peer_has_taken(peer)
    client.publish("other", b"x")
    quiet(peer, client)
    client.publish("foo", b"x")
    expect(peer.until("foo").string, b"RMSG APP foo 1")
    peer.body(1)
    client.publish("w.1", b"x", "rep", b"NATS/1.0\r\n\r\n")
    expect(peer.until("w").string, b"HMSG APP w.1 rep 12 13")
    peer.body(13)
    peer.send(b"RS- APP foo\r\nRS- APP queue q\r\nPING\r\n")
    peer_has_taken(peer)
    client.publish("foo", b"x")
    client.publish("queue", b"x")
    quiet(peer, client)


row_27_34_35_listing_peer.dials = True


def peer_has_taken(peer):
    """The server has handled what was sent up to a PING, on all its shards too: a moment for their mail."""
    while b"PONG\r\n" not in peer.buffer:
        peer.more()
    peer.buffer = peer.buffer.replace(b"PONG\r\n", b"", 1)
    peer.send(b"PING\r\n")
    while b"PONG\r\n" not in peer.buffer:
        peer.more()
    peer.buffer = peer.buffer.replace(b"PONG\r\n", b"", 1)


def row_28_to_31_guessing_for_old_peers(world):
    """18.2 of the spec, line by line."""
    peer, _ = world.outbound(lists=False)
    client, other = Client(world.node), Client(world.node, "other")

    def says(line):
        peer.send(line + b"PING\r\n")
        peer_has_taken(peer)

    def sends(subject, wanted, who=client, reply=None):
        who.publish(subject, b"x", reply)
        if wanted is None:
            quiet(peer, who)
        else:
            expect(peer.line(), wanted)
            peer.body(1)

    sends("foo", b"RMSG APP foo 1")
    says(b"RS- APP foo\r\n")
    sends("foo", None)
    sends("bar", b"RMSG APP bar 1")
    says(b"RS+ APP foo\r\n")
    sends("foo", b"RMSG APP foo 1")
    says(b"RS- APP foo.a\r\nRS- APP foo.b\r\n")
    sends("foo.a", None)
    says(b"RS+ APP foo.*\r\n")
    sends("foo.a", b"RMSG APP foo.a 1")
    says(b"RS- APP foo.*\r\n")  # no cluster says this: a subject is refused, not a pattern
    sends("foo.a", b"RMSG APP foo.a 1")
    says(b"A- OTHER\r\n")
    sends("z", None, other)
    says(b"A+ OTHER\r\n")
    sends("z", b"RMSG OTHER z 1", other)
    says(b"RS+ APP foo q 1\r\n")
    sends("foo", b"RMSG APP foo | q 1")
    sends("foo", b"RMSG APP foo + rep q 1", reply="rep")
    says(b"RS- APP foo\r\n")
    sends("foo", b"RMSG APP foo | q 1")
    says(b"A- APP\r\n")
    sends("foo", b"RMSG APP foo | q 1")
    sends("other", b"RMSG APP other 1")
    says(command(2, "APP"))
    sends("other", b"RMSG APP other 1")
    says(b"RS+ APP s1\r\n")
    sends("s1", b"RMSG APP s1 1")
    says(command(3, "APP"))
    sends("other", None)
    sends("s1", b"RMSG APP s1 1")
    says(b"RS- APP s1\r\n")
    sends("s1", None)


row_28_to_31_guessing_for_old_peers.dials = True


def row_30_long_lists_count_no_more_from_one_word_on(world):
    """However much was listed or refused, and is still to be forgotten when the next word comes."""
    peer, _ = world.outbound(lists=False)
    client = Client(world.node)
    count = 60000 if world.ours else 100

    def says(*lines):
        peer.send(b"".join(lines) + b"PING\r\n")
        peer_has_taken(peer)

    def sends(subject, wanted, marker=b"end"):
        client.publish(subject, b"x")
        client.publish(marker.decode(), b"x")
        for line in [wanted, marker] if wanted else [marker]:
            expect(peer.line(), b"RMSG APP %s 1" % line)
            peer.body(1)

    says(b"".join(b"RS- APP old.%d\r\n" % n for n in range(count)))
    sends("old.1", None)
    says(b"A- APP\r\nA+ APP\r\n")
    sends("old.1", b"old.1")
    says(b"RS- APP old.2\r\n")
    sends("old.2", None)
    sends("old.3", b"old.3")
    says(command(2, "APP"), b"".join(b"RS+ APP old.%d\r\n" % n for n in range(count)), b"RS+ APP end\r\n", command(3, "APP"))
    sends("old.4", b"old.4")
    # nats-server takes no pattern twice on one connection, whatever was said between: so other ones.
    says(b"A- APP\r\nRS+ APP old.5 q 1\r\n", command(2, "APP"), b"RS+ APP new\r\nRS+ APP last\r\n", command(3, "APP"))
    sends("new", b"new", b"last")
    sends("old.5", b"old.5 | q", b"last")
    sends("old.6", None, b"last")


row_30_long_lists_count_no_more_from_one_word_on.dials = True


def row_29_refused_subjects_are_remembered_up_to_a_bound(world):
    """Those beyond it are sent in vain; where one is wanted again, another one has room."""
    if not world.ours:
        return  # nats-server has no bound
    peer, _ = world.outbound(lists=False)
    client = Client(world.node)
    bound = 65536

    def says(*lines):
        peer.send(b"".join(lines) + b"PING\r\n")
        peer_has_taken(peer)

    def sends(*wanted):
        for subject in ("no.0", "no.7", f"no.{bound - 1}", f"no.{bound}", "end"):
            client.publish(subject, b"x")
        for subject in (*wanted, "end"):
            expect(peer.line(), b"RMSG APP %s 1" % subject.encode())
            peer.body(1)

    says(b"".join(b"RS- APP no.%d\r\n" % n for n in range(bound + 1)))
    sends(f"no.{bound}")
    says(b"RS+ APP no.7\r\n", b"RS- APP no.%d\r\n" % bound)
    sends("no.7")
    says(b"RS+ APP no.>\r\n")
    sends("no.0", "no.7", f"no.{bound - 1}", f"no.{bound}")


row_29_refused_subjects_are_remembered_up_to_a_bound.dials = True


def row_9_queue_revives(world):
    """A- and then a queue group: how much is sent again."""
    peer, _ = world.outbound(lists=False)
    client = Client(world.node)
    peer.send(b"A- APP\r\nPING\r\n")
    peer_has_taken(peer)
    client.publish("foo", b"x")
    quiet(peer, client)
    peer.send(b"RS+ APP foo q 1\r\nPING\r\n")
    peer_has_taken(peer)
    client.publish("foo", b"x")
    expect(peer.line(), b"RMSG APP foo | q 1")
    peer.body(1)
    client.publish("bar", b"x")
    expect(peer.line(), b"RMSG APP bar 1")


row_9_queue_revives.dials = True


def row_sends_stop_and_resume(world):
    """Optimistic sends by count: a thousand subjects are sent once, not twice, and again when they are wanted."""
    peer, _ = world.outbound(lists=False)
    client = Client(world.node)
    subjects = [f"s.{i}" for i in range(1000)]

    def round_of(wanted):
        for subject in subjects:
            client.publish(subject, b"x")
        client.publish("marker", b"x")
        seen = 0
        while (line := peer.line()) != b"RMSG APP marker 1":
            seen += 1
            if not line.startswith(b"RMSG APP s."):
                raise Failure(f"unexpected {line}")
            peer.body(1)
        peer.body(1)
        expect(seen, wanted)

    round_of(1000)
    peer.send(b"".join(b"RS- APP %s\r\n" % subject.encode() for subject in subjects) + b"PING\r\n")
    peer_has_taken(peer)
    round_of(0)
    peer.send(b"RS+ APP s.7\r\nPING\r\n")
    peer_has_taken(peer)
    round_of(1)
    peer.send(b"RS+ APP s.*\r\nPING\r\n")
    peer_has_taken(peer)
    round_of(1000)


row_sends_stop_and_resume.dials = True


def row_32_33_commands(world):
    for number, word in ((2, b"start"), (3, b"complete")):
        peer, _ = world.outbound()
        peer.send(command(number))
        expect(peer.ends()[-1], b"-ERR 'Account absent from receive-all-subscriptions-%s command'" % word)
    peer, _ = world.outbound()
    if not peer.open_after(command(9, "APP")):
        raise Failure("an unknown command closed it")


row_32_33_commands.dials = True


def row_wrong_way_to_a_dialler(world):
    for line in (b"RMSG APP a 1\r\nx\r\n", b"CONNECT {}\r\n"):
        peer, _ = world.outbound()
        if peer.open_after(line):
            raise Failure(f"{line} was taken")


row_wrong_way_to_a_dialler.dials = True
row_wrong_way_to_a_dialler.ours = True  # ends a nats-server, or is delivered


def row_40_to_45_replies(world):
    out, into = world.both(lists=False)
    asker, responder = Client(world.node), Client(world.node)
    info = info_of(world.dial().line())
    prefix = f"_GR_.{hash_of('GA')}.{hash_of(info['server_id'])}."
    asker.subscribe("_INBOX.1")
    asker.publish("svc", b"x", "_INBOX.1")
    expect(out.until("RMSG").string, f"RMSG APP svc {prefix}_INBOX.1 1".encode())
    out.body(1)
    asker.subscribe("_INBOX.x.*")
    asker.publish("svc", b"x", "_INBOX.x.y")
    expect(out.until("RMSG").string, f"RMSG APP svc {prefix}_INBOX.x.y 1".encode())
    out.body(1)
    asker.publish("svc", b"x", "_INBOX.unknown")
    expect(out.until("RMSG").string, b"RMSG APP svc _INBOX.unknown 1")
    out.body(1)
    # The other way: what a client answers goes where the name says, and nowhere else.
    responder.subscribe("work")
    asker.subscribe("_INBOX.away")
    for client in (responder, asker):
        client.flush()
    into.send(b"RMSG APP work _GR_.%s.abcdef._INBOX.away 1\r\nx\r\n" % hash_of("GF").encode())
    pump([responder], lambda: responder.messages)
    expect(responder.messages[0].reply, "_INBOX.away")
    responder.publish("_INBOX.away", b"1")
    expect(out.until("RMSG").string, b"RMSG APP _GR_.%s.abcdef._INBOX.away 1" % hash_of("GF").encode())
    out.body(1)
    asker.flush()
    if any(m.subject == "_INBOX.away" for m in asker.messages):
        raise Failure("the answer was delivered here too")
    asker.publish("_INBOX.away", b"2")  # somebody else's publish is any other message
    pump([asker], lambda: any(m.body == b"2" for m in asker.messages))
    # Two to four seconds later it is forgotten: until then each try goes there.
    out.send(command(2, "APP") + command(3, "APP") + b"PING\r\n")
    tries = [0]

    def again():
        tries[0] += 1
        responder.publish("_INBOX.away", b"late")

    pump([asker], lambda: any(m.body == b"late" for m in asker.messages), again, 0.2)
    if tries[0] < 2:
        raise Failure("it was forgotten at once")


row_40_to_45_replies.dials = True


def row_41_old_subscription(world):
    out, _ = world.outbound(lists=False)
    client = Client(world.node)
    client.subscribe("_INBOX.old")
    replies = set()
    end = time.monotonic() + WAIT_SECONDS
    while b"_INBOX.old" not in replies:
        if time.monotonic() > end:
            raise Failure(f"always mapped: {replies}")
        client.publish("svc", b"x", "_INBOX.old")
        replies.add(out.until("RMSG APP svc").string.split()[3])
        out.body(1)
        select.select([], [], [], 0.1)
    if len(replies) != 2:
        raise Failure(f"never mapped: {replies}")


row_41_old_subscription.dials = True


def row_61_62_lost_and_found(world):
    """A connection that ends is dialled again, and all that was known of it is forgotten."""
    peer, _ = world.outbound(lists=False)
    client = Client(world.node)
    peer.send(b"RS- APP foo\r\nRS+ APP bar q 1\r\nPING\r\n")
    peer_has_taken(peer)
    peer.close()
    peer, _ = world.outbound(lists=False)
    tries = []

    def again():
        client.publish("foo", b"x")
        readable, _, _ = select.select([peer.socket], [], [], 0.05)
        tries.extend(readable)

    pump([client], lambda: tries, again)
    expect(peer.line(), b"RMSG APP foo 1")
    peer.body(1)


row_61_62_lost_and_found.dials = True


def row_37_nearest_first(world):
    """A queue group that two other clusters have goes to the one that answers PING sooner, and the other way round."""
    near, _ = world.outbound()
    second = socket.create_server(("127.0.0.1", 0))
    second.settimeout(WAIT_SECONDS)
    port = second.getsockname()[1]
    into = world.dial()  # by which the server learns of GX, and dials it back
    into.line()
    into.send(connect_line("GX", name="X" * 56) + info_line("GX", port, name="X"))
    far = world.keep(second.accept()[0])
    far.send(info_line("GX", port, name="X"))
    far.until("^CONNECT")
    client = Client(world.node)
    for peer in (near, far):
        peer.send(b"RS+ APP nearest q 1\r\n")
        peer.socket.settimeout(0.01)
    slow, turns = far, 0
    taken = {near: 0, far: 0}
    late = []
    end = time.monotonic() + WAIT_SECONDS
    while turns < 2:
        if time.monotonic() > end:
            raise Failure(f"messages go to the slower one: {taken.values()}")
        client.publish("nearest", b"")
        for peer in (near, far):
            try:
                peer.more()
            except socket.timeout:
                pass
            for _ in range(peer.buffer.count(b"PING\r\n")):
                late.append((time.monotonic() + (0.2 if peer is slow else 0), peer))
            taken[peer] = taken[peer] + peer.buffer.count(b"RMSG APP nearest | q 0") if peer is not slow else 0
            if peer is slow and b"RMSG APP nearest" in peer.buffer:
                taken[near if slow is far else far] = 0
            peer.buffer = b""
        for due, peer in [pair for pair in late if pair[0] <= time.monotonic()]:
            peer.send(b"PONG\r\n")
        late = [pair for pair in late if pair[0] > time.monotonic()]
        if taken[near if slow is far else far] >= 60:  # in a row
            slow = near if slow is far else far
            taken = {near: 0, far: 0}
            turns += 1
    second.close()


row_37_nearest_first.dials = True
row_37_nearest_first.top = 'ping_interval: "1s"\nping_max: 1000\n'  # its client answers none


def varz_of(world):
    port = re.search(r"Starting http monitor on \S+:(\d+)", world.node.said()).group(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=WAIT_SECONDS) as reply:
        return json.loads(reply.read())


def row_slow_is_counted(world):
    """A connection whose peer does not read is slow until it has caught up, and closed when nothing goes out at all."""
    out, _ = world.outbound()
    out.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client = Client(world.node)
    out.send(command(2, "APP") + b"RS+ APP bulk\r\n" + command(3, "APP") + b"PING\r\n")
    peer_has_taken(out)
    for _ in range(300):  # more than sockets hold
        client.publish("bulk", b"x" * 100000)
    until_said(world.node, r"Gateway connection closed: Slow Consumer \(Write Deadline\)")
    varz = varz_of(world)
    slow = {"clients": 0, "routes": 0, "gateways": varz["slow_consumers"], "leafs": 0}  # each time, unlike routes
    if varz["slow_consumers"] < 1 or varz.get("slow_consumer_stats", slow) != slow:
        raise Failure(f"{varz['slow_consumers']} {varz['slow_consumer_stats']}")
    client.close()


row_slow_is_counted.dials = True
row_slow_is_counted.top = 'write_deadline: "1s"\nhttp: "127.0.0.1:-1"\n'


def row_stale_is_counted(world):
    """A peer that answers no PING is counted with the gateways."""
    world.listener.close()  # so that there is no second connection
    world.inbound()
    until_said(world.node, "Gateway connection closed: Stale Connection")
    varz = varz_of(world)
    stale = {"clients": 0, "routes": 0, "gateways": 1, "leafs": 0}
    expect([varz.get("stale_connections", 1), varz.get("stale_connection_stats", stale)], [1, stale])


row_stale_is_counted.top = 'ping_interval: "500ms"\nping_max: 1\nhttp: "127.0.0.1:-1"\n'


def row_own_pings(world):
    """The block may have a pace of its own: the server's, of two minutes, would end nobody here."""
    world.listener.close()
    world.inbound()
    until_said(world.node, "Gateway connection closed: Stale Connection")


row_own_pings.extra = 'ping_interval: "500ms"\nping_max: 1'


def row_two_addresses(world):
    """6.3: further addresses of a cluster are tried when one is lost."""
    second = socket.create_server(("127.0.0.1", 0))
    second.settimeout(WAIT_SECONDS)
    port = second.getsockname()[1]
    peer, _ = world.outbound()
    peer.send(info_line("GF", world.port, gateway_urls=[f"127.0.0.1:{world.port}", f"127.0.0.1:{port}"]) + b"PING\r\n")
    peer_has_taken(peer)
    world.listener.close()
    peer.close()
    found = world.keep(second.accept()[0])
    found.send(info_line("GF", port))
    found.until("^CONNECT")
    second.close()


row_two_addresses.dials = True


def run(path, row, making):
    """What went wrong, or None."""
    with making:  # ports are looked for just before they are needed, by one at a time
        world = World(path, getattr(row, "extra", ""), getattr(row, "dials", False), getattr(row, "top", ""),
                      alone=getattr(row, "alone", False))
    began = time.monotonic()
    if getattr(row, "ours", False) and not world.ours:
        return row, world, 0, None
    try:
        with world:
            row(world)
        return row, world, time.monotonic() - began, None
    except (Failure, OSError, ValueError, AssertionError) as error:
        return row, world, time.monotonic() - began, error or "something"


def main(title, names):
    """Runs all rows among these names; which other suites have too."""
    path = os.path.abspath(sys.argv[1])
    only = next((word for word in sys.argv[2:] if word != "-v"), "")
    failed = passed = 0
    verbose = "-v" in sys.argv
    rows = [value for name, value in sorted(names.items()) if name.startswith("row_") and callable(value)]
    making = threading.Lock()
    wanted = [row for row in rows if only in row.__name__]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # most of them wait for timers
        for row, world, seconds, error in pool.map(lambda row: run(path, row, making), wanted):
            if error:
                failed += 1
                print(f"FAILED {row.__name__}: {error}\n{world.node.said()[-1500:] if world.node.log else ''}", flush=True)
            else:
                passed += 1
                if verbose:
                    print(f"ok {row.__name__} ({seconds:.1f} s)", flush=True)
    print(f"{title}: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main("gateways", globals()))
