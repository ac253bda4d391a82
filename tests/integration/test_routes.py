#!/usr/bin/env python3
"""tests/integration/test_routes.py SERVER - the route port as a scripted peer sees it: the rows of spec/routes.md 24 that
ask for one (numbers in the names). Runs against nats-server too, for proof of the rows themselves.
"""
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from cluster_client import ACCOUNTS, WAIT_SECONDS, Client, Failure, Node, free_ports, pump, until_said  # noqa: E402


class Peer:
    """The other end of a route: accepted from the server, or dialled to it."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(WAIT_SECONDS)
        self.buffer = b""
        self.ended = False

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        """Waits for more bytes; the end is a failure."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise Failure(f"the route ended: {self.buffer[-300:]}")
        self.buffer += data

    def sees(self, wanted):
        """Whether that has come, among all that is there now."""
        if select.select([self.socket], [], [], 0)[0]:
            self.more()
        return wanted in self.buffer

    def line(self):
        """The next line but for PINGs, which are answered, but not for ever; None at the end."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            if time.monotonic() > end:
                raise Failure("no line came but PINGs")
            while b"\n" not in self.buffer and not self.ended:
                try:
                    data = self.socket.recv(1 << 16)
                except (ConnectionError, socket.timeout) as error:
                    if isinstance(error, socket.timeout):
                        raise Failure("no line came") from None
                    data = b""
                self.ended = not data
                self.buffer += data
            if b"\n" not in self.buffer:
                return None
            line, self.buffer = self.buffer.split(b"\n", 1)
            line = line.rstrip(b"\r")
            if line == b"PING":
                self.send(b"PONG\r\n")
            elif line != b"PONG":
                return line

    def until(self, pattern):
        """Reads up to a line that matches; the match."""
        seen = []
        while True:
            line = self.line()
            seen.append(line)
            if line is None:
                raise Failure(f"the route ended before {pattern}: {seen[-8:]}")
            found = re.search(pattern.encode(), line)
            if found:
                return found

    def ends(self):
        """All lines up to the end."""
        lines = []
        while (line := self.line()) is not None:
            lines.append(line)
        return lines

    def until_message(self, client, subject):
        """Until what is published there comes, and nothing else of it is under way."""
        wanted = b"RMSG APP %s 1\r\n" % subject.encode()
        end = time.monotonic() + WAIT_SECONDS
        while wanted not in self.buffer:
            if time.monotonic() > end:
                raise Failure(f"a message of {subject} never comes")
            client.publish(subject, b"0")
            if select.select([self.socket], [], [], 0.05)[0]:
                self.more()
        client.publish(subject, b"1")
        while wanted + b"1\r\n" not in self.buffer:
            self.more()
        self.buffer = self.buffer.split(wanted + b"1\r\n", 1)[1]

    def body(self, count):
        while len(self.buffer) < count + 2:
            self.more()
        data, self.buffer = self.buffer[:count], self.buffer[count + 2:]
        return data

    def open_after(self, data):
        """Whether the route is still there when it has taken these bytes."""
        self.send(data + b"PING\r\n")
        while b"PONG\r\n" not in self.buffer:
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                return False
            self.buffer += more
        return True

    def close(self):
        self.socket.close()


def connect_line(name="F" * 56, cluster="C", **more):
    fields = {"echo": True, "verbose": False, "pedantic": False, "tls_required": False, "headers": True, "name": name}
    if cluster is not None:
        fields["cluster"] = cluster
    fields.update(more)
    return b"CONNECT " + json.dumps(fields).encode() + b"\r\n"


def info_line(name="F" * 56, cluster="C", port=1, **more):
    fields = {"server_id": name, "server_name": name[:4], "version": "2.9.10", "proto": 2, "go": "c", "host": "127.0.0.1",
              "port": port, "headers": True, "max_payload": 1048576, "lnoc": True}
    if cluster is not None:
        fields["cluster"] = cluster
    fields.update(more)
    return b"INFO " + json.dumps(fields).encode() + b"\r\n"


class World:
    """One server, and peers that end with the case."""

    def __init__(self, path, extra="", name="C", shards=2, accounts=ACCOUNTS):
        ports = free_ports(2)
        ours = "myelin" in os.path.basename(path)
        self.ours = ours
        self.node = Node(path, "A", ports[0], ports[1], ["--shards", str(shards)] if ours else [], extra, accounts)
        self.cluster_name = name
        self.peers = []

    def __enter__(self):
        self.node.start()
        return self

    def __exit__(self, kind, value, trace):
        for peer in self.peers:
            peer.close()
        if kind is not None:
            print(self.node.said()[-2500:], file=sys.stderr)
        code = self.node.stop(signal.SIGINT)
        if kind is None and code not in (0, 1):
            raise Failure(f"the server ended with {code}")

    def dial(self):
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                peer = Peer(socket.create_connection(("127.0.0.1", self.node.cluster_port), timeout=WAIT_SECONDS))
                break
            except ConnectionRefusedError:  # the route port opens behind the client port
                if time.monotonic() > end:
                    raise Failure("nobody listens for routes") from None
                time.sleep(0.01)
        self.peers.append(peer)
        return peer

    def slot(self, letter="F", **more):
        """One of several routes of a server, registered."""
        peer = self.dial()
        name = letter * 56
        peer.send(connect_line(name) + info_line(name, **more))
        peer.until(r"^INFO ")
        expect("open", True, peer.open_after(b""))
        peer.buffer = b""
        return peer

    def pool(self, letter="F", size=3):
        """All slots of a server's pool."""
        return [self.slot(letter, route_pool_size=size, **({"route_pool_idx": i} if i else {})) for i in range(size)]

    def member(self, letter="F", **more):
        """A route that is registered; its burst is read."""
        peer = self.dial()
        name = letter * 56
        peer.send(connect_line(name) + info_line(name, **more))
        peer.until(r"^INFO ")
        peer.burst = []
        client = Client(self.node)
        marker = f"burst.{letter}"
        client.subscribe(marker)
        while not (peer.burst and marker.encode() in peer.burst[-1]):
            line = peer.line()
            if line is None:
                raise Failure(f"a new member was closed: {peer.burst[-3:]}")
            peer.burst.append(line)
        peer.open_after(b"")  # the marker may stand in the midst of the burst
        rest, peer.buffer = peer.buffer.split(b"PONG\r\n", 1)
        peer.burst += rest.split(b"\r\n")[:-1]
        client.close()
        peer.until(rf"^RS- APP {re.escape(marker)}$")
        return peer

    def client(self, user="app"):
        return Client(self.node, user)


def expect(what, wanted, got):
    if wanted != got:
        raise Failure(f"{what}: wanted {wanted!r}, got {got!r}")


def expect_refused(world, lines, error=None):
    peer = world.dial()
    peer.send(lines)
    said = [line for line in peer.ends() if line.startswith(b"-ERR")]
    expect(f"after {lines[:60]}", [b"-ERR '%s'" % error.encode()] if error else [], said)


# ---- the cases ----

def case_01_info_comes_first(world):
    peer = world.dial()
    info = json.loads(peer.line()[5:])
    expect("cluster", "C", info["cluster"])
    expect("port", world.node.cluster_port, info["port"])
    for key in ("server_id", "server_name", "version", "proto", "host", "headers", "max_payload", "lnoc"):
        if key not in info:
            raise Failure(f"INFO has no {key}")
    expect("connect_urls", [f"127.0.0.1:{world.node.port}"], info["connect_urls"])


def case_03_silence_is_allowed_without_a_login(world):
    peer = world.dial()
    peer.line()
    readable, _, _ = select.select([peer.socket], [], [], 0.3)
    if readable:
        raise Failure("a silent peer was told something")
    peer.send(connect_line() + info_line())
    expect("open", True, peer.open_after(b""))


def case_07_08_visitors_of_another_kind_are_told(world):
    expect_refused(world, b'CONNECT {"lang":"go","verbose":false}\r\n', "attempted to connect to route port")
    expect_refused(world, connect_line(gateway="G"), 'Rejecting connection from gateway "G" on the Route port')


def case_09_10_another_cluster_is_refused(world):
    expect_refused(world, connect_line(cluster="D"), 'Rejecting connection, cluster name "D" does not match "C"')
    expect_refused(world, connect_line(cluster=None), 'Rejecting connection, cluster name "" does not match "C"')
    expect_refused(world, connect_line() + info_line(cluster="D"))
    expect("INFO without a cluster", True, world.member("E", cluster=None) is not None)


def case_13_14_itself_and_its_namesake_are_refused(world):
    peer = world.dial()
    info = json.loads(peer.line()[5:])
    expect_refused(world, connect_line(info["server_id"]) + info_line(info["server_id"]))
    expect_refused(world, connect_line() + info_line(server_name="A"))


def case_15_the_first_connection_of_a_server_stays(world):
    first = world.member()
    expect_refused(world, connect_line() + info_line())
    expect("the first one", True, first.open_after(b""))


def case_17_18_a_newcomer_is_announced_and_told_nothing(world):
    first = world.member("F")
    second = world.member("G", port=4711)
    told = json.loads(first.until(r"^INFO (.*)$").group(1))
    expect("id", "G" * 56, told["server_id"])
    expect("ip", "nats-route://127.0.0.1:4711/", told["ip"])
    if "nonce" in told:
        raise Failure("the nonce was passed on")
    expect("INFO lines for the newcomer", [], [line for line in second.burst if line.startswith(b"INFO")])


def case_20_the_burst_has_everything(world):
    client, other = world.client(), world.client("other")
    client.send(b"SUB pre.a 1\r\nSUB pre.a 2\r\nSUB pre.q q1 3\r\nSUB pre.q q1 4\r\nSUB pre.* 5\r\n")
    client.flush()
    other.send(b"SUB pre.a 1\r\n")
    other.flush()
    burst = sorted(line for line in world.member().burst if b"pre." in line)
    expect("burst", [b"RS+ APP pre.*", b"RS+ APP pre.a", b"RS+ APP pre.q q1 2", b"RS+ OTHER pre.a"], burst)


def case_20_a_long_burst_goes_on_beside_changes(world):
    """What a new route is told in steps is, in the end, what there is, whatever changes meanwhile; and interest stands on
    the wire before a message that depends on it."""
    count = 30000
    client = world.client()
    client.subscribe("inbox.early")
    sids = {}
    for first in range(0, count, 1000):
        sids.update((n, client.next_sid + n - first) for n in range(first, first + 1000))
        client.send(b"".join(b"SUB many.%d.%s %d\r\n" % (n, b"x.*" if n % 7 == 0 else b"x", sids[n])
                             for n in range(first, first + 1000)))
        client.next_sid += 1000
    client.flush()
    subject = {n: "many.%d.%s" % (n, "x.*" if n % 7 == 0 else "x") for n in range(count)}
    peer = world.dial()
    name = "F" * 56
    peer.send(connect_line(name) + info_line(name) + b"RS+ APP ask\r\n")
    peer.until(r"^INFO ")
    told, changes, asked = {}, 0, False
    rng = random.Random(20)
    gone, fresh, late = set(), set(), [n for n in range(0, count, 10)]
    rng.shuffle(late)
    end = time.monotonic() + WAIT_SECONDS
    while late or not asked:
        if time.monotonic() > end:
            raise Failure(f"not asked, {len(late)} changes to come")
        client.publish("ask", b"?", "inbox.early")
        if late:
            changed, late = late[:100], late[100:]
            client.send(b"".join(b"UNSUB %d\r\nSUB late.%d %d\r\n" % (sids[n], n, 1000000 + n) for n in changed))
            gone.update(changed)
            fresh.update(changed)
        # Not for longer: where the question came before "RS+ ask" was taken it has to be put again.
        if select.select([peer.socket], [], [], 0.05)[0]:
            peer.more()
        peer.send(b"PONG\r\n" * peer.buffer.count(b"PING\r\n"))
        peer.buffer = peer.buffer.replace(b"PING\r\n", b"")
        while b"\n" in peer.buffer:
            words = peer.line().decode().split()
            if words[0] in ("RS+", "RS-"):
                told[words[2]] = words[0] == "RS+"
            elif words[0] == "RMSG":
                peer.body(int(words[-1]))
                expect("told of the inbox before it is asked", True, told.get("inbox.early"))
                asked = True
    client.subscribe("end.of.changes")
    while "end.of.changes" not in told:
        words = peer.line().decode().split()
        if words[0] in ("RS+", "RS-"):
            told[words[2]] = words[0] == "RS+"
        elif words[0] == "RMSG":
            peer.body(int(words[-1]))
    wanted = {subject[n] for n in range(count) if n not in gone} | {"late.%d" % n for n in fresh}
    there = {s for s, is_there in told.items() if is_there and not s.startswith("$SYS.")}
    there -= {"inbox.early", "end.of.changes"}
    expect("what is told in the end is wanted", [], sorted(there - wanted)[:5])
    expect("what is wanted is told in the end", [], sorted(wanted - there)[:5])
    client.close()


def case_21_22_23_24_interest_goes_out_by_its_edges(world):
    peer = world.member()
    clients = [world.client() for _ in range(3)]

    def step(client, line, wanted):
        client.send(line + b"\r\n")
        client.flush()
        if wanted is None:
            return
        got = peer.line()
        expect(f"after {line}", wanted, got)

    a, b, c = clients
    step(a, b"SUB foo 1", b"RS+ APP foo")
    step(b, b"SUB foo 1", None)
    step(b, b"SUB foo q 3", b"RS+ APP foo q 1")
    step(c, b"SUB foo q 4", b"RS+ APP foo q 2")
    step(a, b"SUB foo r 5", b"RS+ APP foo r 1")
    step(c, b"UNSUB 4", b"RS+ APP foo q 1")
    step(b, b"UNSUB 3", b"RS- APP foo q")
    step(a, b"UNSUB 1", None)
    step(b, b"UNSUB 1", b"RS- APP foo")
    step(a, b"UNSUB 5", b"RS- APP foo r")
    step(a, b"SUB mx 9", b"RS+ APP mx")
    step(a, b"UNSUB 9 2", None)
    step(b, b"PUB mx 0\r\n", None)
    step(b, b"SUB x.> 7", b"RS+ APP x.>")
    step(b, b"PUB mx 0\r\n", b"RS- APP mx")
    b.close()
    expect("a client that goes", b"RS- APP x.>", peer.line())


def case_25_26_28_what_is_said_twice_counts_once(world):
    peer = world.member()
    client = world.client()
    expect("open", True, peer.open_after(b"RS+ APP foo\r\nRS+ APP foo\r\nRS+ APP zero q 0\r\nRS- APP never\r\n"
                                         b"RS- NOPE never\r\nRS+ NOPE foo\r\n"))
    pump([client], lambda: True)
    until_heard(world, peer, client)
    client.publish("foo", b"one")
    expect("RMSG", b"3", peer.until(r"^RMSG APP foo (\d+)$").group(1))
    peer.body(3)
    client.publish("zero", b"")
    peer.send(b"RS- APP foo\r\n")
    expect("open", True, peer.open_after(b""))
    forgotten(world, peer, client, "foo")


def until_heard(world, peer, client):
    """All that the peer said before is known to the shard of the client."""
    del world
    peer.send(b"RS+ APP heard\r\n")
    pump([client], lambda: peer.sees(b"RMSG APP heard 0\r\n\r\n"), lambda: client.publish("heard", b""))
    peer.send(b"RS- APP heard\r\n")
    client.send(b"PUB flush.heard 0\r\n\r\n")
    client.flush()
    peer.open_after(b"")
    peer.buffer = b""


def forgotten(world, peer, client, subject):
    until_heard(world, peer, client)
    client.publish(subject, b"gone")
    peer.send(b"RS+ APP end\r\n")
    until_heard(world, peer, client)
    client.publish("end", b"")
    expect("after RS-", b"RMSG APP end 0", peer.line())


def case_29_30_bad_interest(world):
    for line in (b"RS+ APP\r\n", b"RS+ APP foo q\r\n", b"RS- APP\r\n"):
        peer = world.member()
        peer.send(line)
        expect(f"after {line}", [], [said for said in peer.ends() if said.startswith(b"-ERR")])
    peer = world.member()
    expect("open", True, peer.open_after(b"RS+ APP foo..bar\r\n"))
    if b"-ERR 'Invalid Subscription'\r\n" not in peer.buffer:
        raise Failure(f"no word about a bad subject: {peer.buffer}")


def case_31_to_38_every_form_of_a_message_is_delivered(world):
    peer = world.member()
    client = world.client()
    client.send(b"SUB foo 1\r\nSUB foo q 2\r\nSUB foo r 3\r\n")
    client.flush()
    peer.send(b"RMSG APP foo 1\r\na\r\nRMSG APP foo rep 1\r\nb\r\nRMSG APP foo | q 1\r\nc\r\n"
              b"RMSG APP foo + rep q r 1\r\nd\r\nRMSG APP foo | nope 1\r\ne\r\nRMSG NOPE foo 1\r\nx\r\n"
              b"rmsg\tAPP  foo 1\r\nf\r\nHMSG APP foo 12 13\r\nNATS/1.0\r\n\r\ng\r\n"
              b"HMSG APP foo + rep q 12 13\r\nNATS/1.0\r\n\r\nh\r\nLMSG LC APP foo 0 1\r\ni\r\n"
              b"LMSG LC APP foo + rep q 12 13\r\nNATS/1.0\r\n\r\nj\r\nRMSG APP foo 1\r\nz\r\n")
    pump([client], lambda: any(m.body == b"z" for m in client.messages))
    got = sorted((m.body.decode(), m.sid, m.reply, bool(m.header)) for m in client.messages)
    wanted = sorted([("a", 1, None, False), ("b", 1, "rep", False), ("c", 1, None, False), ("c", 2, None, False),
                     ("d", 1, "rep", False), ("d", 2, "rep", False), ("d", 3, "rep", False), ("e", 1, None, False),
                     ("f", 1, None, False), ("g", 1, None, True), ("h", 1, "rep", True), ("h", 2, "rep", True),
                     ("i", 1, None, False), ("j", 1, "rep", True), ("j", 2, "rep", True), ("z", 1, None, False)],
                    key=lambda row: (row[0], row[1]))
    expect("deliveries", wanted, sorted(got, key=lambda row: (row[0], row[1])))


def case_37_39_bad_messages_end_it(world):
    for data, error in ((b"HMSG APP foo 6 5\r\nhello\r\n", []), (b"RMSG APP foo -1\r\n", []),
                        (b"RMSG APP foo 2\r\nhello\r\n", [b"-ERR 'Unknown Protocol Operation'"]),
                        (b"UNSUB 1\r\n", None), (b"MSG foo 1 1\r\nx\r\n", [b"-ERR 'Unknown Protocol Operation'"])):
        peer = world.member()
        peer.send(data)
        said = [line for line in peer.ends() if line.startswith(b"-ERR")]
        if error is not None:
            expect(f"after {data}", error, said)


def case_40_a_peer_without_headers_gets_the_body(world):
    peer = world.dial()
    peer.send(connect_line(headers=False) + info_line(headers=False) + b"RS+ APP foo\r\n")
    client = world.client()
    until_heard(world, peer, client)
    client.publish("foo", b"hello", header=b"NATS/1.0\r\n\r\n")
    expect("line", b"RMSG APP foo 5", peer.line())
    expect("body", b"hello", peer.body(5))


def case_41_42_one_hop(world):
    first, second = world.member("F"), world.member("G")
    first.until("^INFO")
    client = world.client()
    first.send(b"RS+ APP foo\r\nRS+ APP qq g 1\r\n")
    until_heard(world, first, client)
    second.send(b"RMSG APP foo 1\r\nx\r\nRMSG APP qq | g 1\r\ny\r\n")
    expect("only a queue without members here goes on", b"RMSG APP qq | g 1", first.line())
    expect("body", b"y", first.body(1))


def case_43_plain_and_queue_share_a_line(world):
    first, second = world.member("F"), world.member("G")
    first.until("^INFO")
    client = world.client()
    first.send(b"RS+ APP pp\r\nRS+ APP pp g 1\r\n")
    second.send(b"RS+ APP pp g 1\r\n")
    until_heard(world, first, client)
    until_heard(world, second, client)
    here = there = 0
    for _ in range(60):
        client.publish("pp", b"")
        line = first.line()
        first.body(0)
        if line == b"RMSG APP pp | g 0":
            here += 1
        elif line == b"RMSG APP pp 0":
            there += 1
            expect("the group's copy", b"RMSG APP pp | g 0", second.line())
            second.body(0)
        else:
            raise Failure(f"{line} came")
    if not here or not there:
        raise Failure(f"the group's members got {here} and {there}")


def case_45_leaf_interest_is_interest(world):
    peer = world.member()
    client = world.client()
    peer.send(b"LS+ LC APP lf\r\nLS+ LC APP lq g 2\r\n")
    until_heard(world, peer, client)
    client.publish("lf", b"")
    expect("plain", b"RMSG APP lf 0", peer.line())
    peer.body(0)
    client.publish("lq", b"")
    expect("queue", b"RMSG APP lq | g 0", peer.line())
    peer.body(0)
    peer.send(b"LS-  APP lf\r\n")
    forgotten(world, peer, client, "lf")


def case_55_56_no_bounds_of_clients(world):
    peer = world.member()
    client = world.client()
    client.subscribe("big")
    client.flush()
    body = b"x" * 3_000_000
    peer.send(b"RMSG APP big %d\r\n%s\r\n" % (len(body), body))
    pump([client], lambda: client.messages)
    expect("bytes", len(body), len(client.messages[0].body))
    expect("a long line", True, peer.open_after(b"RS- APP " + b"a" * 60_000 + b"\r\n"))


def case_59_an_error_ends_it(world):
    peer = world.member()
    peer.send(b"-ERR 'Stale Connection'\r\n")
    expect("lines", [], peer.ends())


def pool_63_a_slot_that_is_not_there_is_refused(world):
    expect_refused(world, connect_line() + info_line(route_pool_size=3, route_pool_idx=7),
                   "Invalid route pool index: 7 - pool size is 3")
    expect_refused(world, connect_line() + info_line(route_pool_size=3, route_account="BCC"),
                   'Unable to lookup account "BCC": account missing')
    expect_refused(world, connect_line() + info_line(route_pool_size=3, route_account="APP"),
                   'No route for account "APP"')
    expect_refused(world, connect_line() + info_line(route_account="OTHER"),
                   'Not possible to have a dedicated route for account "OTHER" between those servers')
    world.slot(route_pool_size=3, route_pool_idx=2)
    expect_refused(world, connect_line() + info_line(route_pool_size=3, route_pool_idx=2))


def pool_64_the_route_of_one_account(world):
    peer = world.slot(route_pool_size=3, route_account="OTHER")
    expect_refused(world, connect_line() + info_line(route_pool_size=3, route_account="OTHER"))
    other, app = world.client("other"), world.client()
    app.subscribe("foo")
    app.flush()
    other.subscribe("foo")
    expect("interest", b"RS+ foo", peer.line())
    peer.send(b"RS+ bar\r\nRMSG foo 1\r\na\r\nHMSG foo rep 12 13\r\nNATS/1.0\r\n\r\nb\r\nLMSG LC foo 0 1\r\nc\r\n")
    pump([other], lambda: len(other.messages) == 3)
    expect("deliveries", [(b"a", None), (b"b", "rep"), (b"c", None)], [(m.body, m.reply) for m in other.messages])
    expect("of another account", [], app.messages)
    heard_bar(other, peer)


def heard_bar(client, peer):
    """The peer gets what it asked for, without the account's name."""
    pump([client], lambda: peer.sees(b"RMSG bar 0\r\n\r\n"), lambda: client.publish("bar", b""))


# APP's slot of 3 is 1, and SVC's is 0 (routes.md 13.1).
def pool_65_an_account_has_its_slot(world):
    slots = world.pool()
    client, service = world.client(), world.client("svc")
    client.subscribe("foo")
    service.subscribe("bar")
    expect("APP", b"RS+ APP foo", slots[1].line())
    expect("SVC", b"RS+ SVC bar", slots[0].line())
    for slot in slots:
        expect("open", True, slot.open_after(b""))
    expect("elsewhere", [b"", b"", b""], [slot.buffer.replace(b"PONG\r\n", b"") for slot in slots])
    slots[1].buffer = b""
    slots[1].send(b"RS+ APP x\r\n")
    slots[1].until_message(client, "x")


def pool_65_the_burst_is_divided(world):
    client, service = world.client(), world.client("svc")
    client.subscribe("foo")
    service.subscribe("bar")
    client.flush()
    service.flush()
    wanted = {0: b"RS+ SVC bar", 1: b"RS+ APP foo"}
    for i in range(3):
        peer = world.dial()
        peer.send(connect_line() + info_line(route_pool_size=3, **({"route_pool_idx": i} if i else {})))
        if i in wanted:
            expect(f"slot {i}", wanted[i].decode(), peer.until(r"^RS\+ (?!\$SYS).*$").group(0).decode())
        expect("open", True, peer.open_after(b""))
        if b"RS+ APP" in peer.buffer or b"RS+ SVC" in peer.buffer:
            raise Failure(f"slot {i} was told {peer.buffer}")


def pool_66_pools_of_different_sizes_meet(world):
    slots = world.pool(size=5)
    client = world.client()
    client.subscribe("foo")
    expect("by our own size", b"RS+ APP foo", slots[1].line())
    slots[4].send(b"RS+ APP x\r\n")
    slots[1 if world.ours else 4].until_message(client, "x")


def pool_67_an_account_moves(world):
    slots = world.pool()
    slots[1].send(info_line("", route_pool_size=3, route_account="APP", route_acc_add_reqid="abc"))
    answer = json.loads(slots[1].until(r"^INFO (.*)$").group(1))
    expect("request", "abc", answer["route_acc_add_reqid"])
    if "route_account" in answer:
        raise Failure("the answer names the account")
    expect("open", True, slots[1].open_after(b""))


def pool_74_what_comes_by_another_slot_counts(world):
    slots = world.pool()
    client = world.client()
    client.subscribe("foo")
    expect("interest", b"RS+ APP foo", slots[1].line())
    slots[2].send(b"RMSG APP foo 1\r\nx\r\nRS+ APP bar\r\n")
    pump([client], lambda: client.messages)
    slots[1 if world.ours else 2].until_message(client, "bar")


def pool_74_without_its_slot_an_account_is_served_where_it_asks(world):
    peer = world.slot(route_pool_size=3)
    client = world.client()
    peer.send(b"RS+ APP bar\r\n")
    peer.until_message(client, "bar")


def pool_lost_slots_take_their_interest_with_them(world):
    slots = world.pool()
    client, service = world.client(), world.client("svc")
    slots[1].send(b"RS+ APP x\r\n")
    slots[0].send(b"RS+ SVC y\r\n")
    slots[1].until_message(client, "x")
    slots[0].send(b"RS+ SVC z\r\n")
    heard(slots[0], service, "SVC", "z")
    client.subscribe("answer")
    slots[1].close()
    pump([client], lambda: any(m.header and b"503" in m.header for m in client.messages),
         lambda: client.publish("x", b"", "answer"))
    slots[0].buffer = b""
    heard(slots[0], service, "SVC", "y")
    again = world.dial()
    again.send(connect_line() + info_line(route_pool_size=3, route_pool_idx=1) + b"RS+ APP x\r\n")
    again.until(r"^RS\+ APP answer")
    again.until_message(client, "x")


def heard(peer, client, account, subject):
    """Until something published there has come to the peer."""
    wanted = b"RMSG %s %s 0\r\n\r\n" % (account.encode(), subject.encode())
    pump([client], lambda: peer.sees(wanted), lambda: client.publish(subject, b""))


def pool_dials_fill_the_pool(world):
    """A server that we dial gets a connection for each slot and for each account of the list, and a lost one again."""
    first = world.member("F")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT_SECONDS)
    port = listener.getsockname()[1]
    info = info_line("H" * 56, port=port, route_pool_size=3)
    first.send(info_line("H" * 56, port=port, ip=f"nats-route://127.0.0.1:{port}/"))
    seen = {}
    while len(seen) < 5:
        peer = Peer(listener.accept()[0])
        world.peers.append(peer)
        peer.until(r"^CONNECT ")
        peer.send(info)
        said = json.loads(peer.until(r"^INFO (.*)$").group(1))
        expect("pool", 3, said["route_pool_size"])
        seen[said.get("route_account", said.get("route_pool_idx", 0))] = peer
        peer.send(b"PONG\r\n")  # nats-server asks with a PING whether its login was good, before it dials again
    expect("connections", {0, 1, 2, "$SYS", "OTHER"}, set(seen))
    seen[1].close()
    peer = Peer(listener.accept()[0])
    world.peers.append(peer)
    peer.until(r"^CONNECT ")
    peer.send(info)
    expect("the one that was lost", 1, json.loads(peer.until(r"^INFO (.*)$").group(1)).get("route_pool_idx"))
    listener.close()


S2_BEGIN = b"\xff\x06\x00\x00S2sTwO"


def stored(data):
    """Bytes as a stream of one chunk that is not compressed."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    crc ^= 0xffffffff
    masked = ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff
    return S2_BEGIN + b"\x01" + (len(data) + 4).to_bytes(3, "little") + masked.to_bytes(4, "little") + data


def compressed_69_what_was_agreed_is_done(world):
    peer = world.dial()
    expect("offered", "s2_fast", json.loads(peer.until(r"^INFO (.*)$").group(1))["compression"])
    peer.send(connect_line() + info_line(compression="s2_fast"))
    while not peer.buffer.startswith(S2_BEGIN):
        data = peer.socket.recv(1 << 16)
        if not data or not S2_BEGIN.startswith(peer.buffer[:10]):
            raise Failure(f"what came is not compressed: {peer.buffer[:40]}")
        peer.buffer += data
    peer.send(stored(info_line(compression="s2_fast") + b"PING\r\n"))
    while b"PONG\r\n" not in peer.buffer:  # short lines are stored by all
        data = peer.socket.recv(1 << 16)
        if not data:
            raise Failure(f"the route ended: {peer.buffer}")
        peer.buffer += data
    client = world.client()
    client.subscribe("foo")
    client.flush()
    whole = stored(b"RMSG APP foo 5\r\nhello\r\n")
    for i in range(len(whole)):
        peer.send(whole[i:i + 1])
    pump([client], lambda: client.messages)
    peer.send(stored(b"PING\r\n").replace(b"PING", b"PONG"))
    while data := peer.socket.recv(1 << 16):
        pass


def compressed_70_an_unknown_mode_is_refused(world):
    expect_refused(world, connect_line() + info_line(compression="lz4"), 'unsupported route compression mode "lz4"')
    peer = world.member()  # a peer that says nothing of compression
    expect("open", True, peer.open_after(b"RS+ APP foo\r\n"))


def case_73_gossip_about_a_member_is_no_dial(world):
    first = world.member("F")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    first.send(info_line("H" * 56, port=port, ip=f"nats-route://127.0.0.1:{port}/"))
    listener.settimeout(WAIT_SECONDS)
    peer = Peer(listener.accept()[0])
    world.peers.append(peer)
    peer.until(r"^CONNECT ")
    peer.send(info_line("H" * 56, port=port))
    expect("INFO", world.node.cluster_port, json.loads(peer.until(r"^INFO (.*)$").group(1))["port"])
    expect("open", True, peer.open_after(b""))
    first.send(info_line("H" * 56, port=port, ip=f"nats-route://127.0.0.1:{port}/"))
    expect("open", True, first.open_after(b""))
    readable, _, _ = select.select([listener], [], [], 0.3)
    if readable:
        raise Failure("a server that is there was dialled again")
    listener.close()


def case_75_urls_of_members_reach_clients_and_leave(world):
    client = world.client()
    peer = world.member("F", connect_urls=["10.9.8.7:4222"])
    pump([client], lambda: b"10.9.8.7:4222" in client.info, client.flush)
    peer.send(info_line("F" * 56, connect_urls=["10.9.8.7:4222"], ldm=True))
    pump([client], lambda: b"10.9.8.7:4222" not in client.info, client.flush)


def slow_56(world):
    """A route that does not read: as long as some of a write goes out in its deadline it stays and loses nothing; when
    nothing does it is closed."""
    slow, deaf = world.member("F"), world.member("G")
    for peer in (slow, deaf):
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        peer.send(b"RS+ APP bulk\r\n")
    client = world.client()
    for peer, letter in ((slow, "F"), (deaf, "G")):
        peer.send(b"RS+ APP begin.%s\r\n" % letter.encode())
        peer.until_message(client, f"begin.{letter}")
    body = b"x" * 100000
    for number in range(300):  # more than sockets hold; in parts, so that a stall is short
        client.publish("bulk", body + b"%d" % number)
    until_said(world.node, "Slow Consumer Detected: WriteDeadline of 1s exceeded with ", 2)
    for number in range(300):
        slow.until(r"^RMSG APP bulk \d+$")
        expect("the body", body + b"%d" % number, slow.body(100000 + len(str(number))))
    expect("the slow one is there", True, slow.open_after(b""))
    until_said(world.node, r"Router connection closed: Slow Consumer \(Write Deadline\)")
    varz = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{world.http_port}/varz", timeout=WAIT_SECONDS).read())
    expect("slow consumers are counted", True, varz["slow_consumers"] >= 3)
    if "slow_consumer_stats" in varz:
        expect("of two routes", {"clients": 0, "routes": 2, "gateways": 0, "leafs": 0}, varz["slow_consumer_stats"])
    expect("one route is left", 1, varz["routes"])
    client.close()


def in_slow_world(path):
    port = free_ports(1)[0]
    more = f'\nwrite_deadline: "1s"\nhttp: "127.0.0.1:{port}"\n'
    with World(path, accounts=ACCOUNTS + more) as world:
        world.http_port = port
        slow_56(world)


def tls_62(world):
    """Nothing in clear, and nobody without a certificate (routes.md 6)."""
    silent = world.dial()
    silent.send(connect_line())
    expect("in clear", [], [line for line in silent.ends() if b"INFO" in line or b"ERR" in line])
    context = ssl.create_default_context(cafile=world.authority.file)
    context.check_hostname = False
    stranger = socket.create_connection(("127.0.0.1", world.node.cluster_port), timeout=WAIT_SECONDS)
    try:
        with context.wrap_socket(stranger) as secured:
            got = secured.recv(1 << 16)
            if got:
                raise Failure(f"a peer without a certificate was told {got[:40]}")
    except (ssl.SSLError, ConnectionError):
        pass
    context.load_cert_chain(*world.certificate)
    friend = Peer(context.wrap_socket(socket.create_connection(("127.0.0.1", world.node.cluster_port))))
    world.peers.append(friend)
    info = json.loads(friend.line()[5:])
    expect("tls", (True, True), (info["tls_required"], info["tls_verify"]))
    friend.send(connect_line() + info_line())
    expect("open", True, friend.open_after(b"RS+ APP foo\r\n"))


def tls_time_limit(world):
    peer = world.dial()
    expect("silence", [], peer.ends())


PERMISSIONS = (' permissions { import { allow: ["imp.>", "both.>"] }, '
               'export { allow: ["exp.>", "both.>"], deny: ["exp.no"] } }')


def permissions_48(world):
    """Import and export filter interest, and deny at delivery (routes.md 11.2)."""
    peer = world.dial()
    peer.send(connect_line() + info_line())
    client = world.client()
    client.send(b"SUB both.ready 99\r\n")
    peer.until("both.ready")
    for i, subject in enumerate(["exp.a", "other", ">", "imp.a", "both.a", "imp.*", "imp.>", "both.end"]):
        client.send(b"SUB %s %d\r\n" % (subject.encode(), i + 1))
    client.flush()
    got = []
    while not got or b"both.end" not in got[-1]:
        got.append(peer.line())
    expect("RS+", [b"RS+ APP " + s for s in (b"both.a", b"both.end", b"imp.*", b"imp.>", b"imp.a")],
           sorted(line for line in got if line.startswith(b"RS+ ")))
    peer.send(b"RS+ APP exp.a\r\nRS+ APP exp.*\r\nRS+ APP exp.no\r\nRS+ APP imp.a\r\nRS+ APP both.known\r\n")
    client.send(b"UNSUB 3\r\n")
    client.messages.clear()
    peer.until_message(client, "both.known")
    client.publish("exp.no", b"1")
    client.publish("imp.a", b"2")
    client.publish("exp.a", b"3")
    client.publish("exp.b", b"4")
    expect("line", b"RMSG APP exp.a 1", peer.line())
    expect("body", b"3", peer.body(1))
    expect("line", b"RMSG APP exp.b 1", peer.line())
    expect("body", b"4", peer.body(1))
    client.messages.clear()
    peer.send(b"RMSG APP exp.a 2\r\nin\r\n")
    pump([client], lambda: any(m.subject == "exp.a" and m.body == b"in" for m in client.messages))


LOGIN = " authorization { user: u, password: p, timeout: 1 }"
BCRYPT = ' authorization { user: u, password: "$2a$04$AAFuqFUTSlARm/OExFNvHOsc6VL1PTqWpkLcdVo8hdXtSHpDJNwum" }'


def login_04_05_06(world):
    peer = world.dial()
    info = json.loads(peer.line()[5:])
    expect("auth_required", True, info.get("auth_required"))
    expect("no CONNECT", [b"-ERR 'Authentication Timeout'"], [l for l in peer.ends() if l.startswith(b"-ERR")])
    expect_refused(world, connect_line(user="u", **{"pass": "wrong"}) + info_line(), "Authorization Violation")
    expect_refused(world, connect_line() + info_line(), "Authorization Violation")
    expect_refused(world, info_line(), "Authorization Violation")
    good = world.dial()
    good.send(connect_line(user="u", **{"pass": "p"}) + info_line())
    expect("open", True, good.open_after(b"RS+ APP foo\r\n"))


def names_11_12(path):
    """Two servers without a name agree on the greater one; a configured name beats both."""
    ports = free_ports(6)
    ours = "myelin" in os.path.basename(path)
    arguments = ["--shards", "1"] if ours else []

    def node(i, name):
        made = Node(path, f"d{i}", ports[2 * i], ports[2 * i + 1], arguments)
        made.cluster_line = name
        return made

    nodes = [node(0, None), node(1, None), node(2, "STATIC")]
    for made in nodes:
        made.routes = [ports[1]] if made is not nodes[0] else []
        made.cluster_name = made.cluster_line
    started = []
    try:
        for made in nodes[:2]:
            made.start()
            started.append(made)
        linked(nodes[0], nodes[1])
        nodes[2].start()
        started.append(nodes[2])
        linked(nodes[0], nodes[2])
        linked(nodes[1], nodes[2])
    finally:
        for made in started:
            made.stop(signal.SIGINT)


def linked(one, other):
    """Until a message goes from one to the other."""
    a, b = Client(one), Client(other)
    b.subscribe("linked")
    pump([a, b], lambda: b.messages, lambda: a.publish("linked", b""))
    a.close()
    b.close()


def main():
    path = os.path.abspath(sys.argv[1]) if "/" in sys.argv[1] else shutil.which(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    passed = failed = 0
    runs = [(name, lambda f=case: in_world(path, f)) for name, case in sorted(globals().items())
            if name.startswith("case_")]
    if "myelin" in os.path.basename(path) or "current" in path:  # nats-server has pools from 2.10 on
        runs += [(name, lambda f=case: in_world(path, f, " accounts: [OTHER]")) for name, case in sorted(globals().items())
                 if name.startswith("pool_")]
        runs += [(name, lambda f=case: in_world(path, f, " compression: s2_fast")) for name, case in
                 sorted(globals().items()) if name.startswith("compressed_")]
    runs.append(("permissions_48", lambda: in_world(path, permissions_48, PERMISSIONS)))
    runs.append(("login_plain", lambda: in_world(path, login_04_05_06, LOGIN)))
    runs.append(("slow_56", lambda: in_slow_world(path)))
    runs.append(("tls_62", lambda: in_tls_world(path, tls_62, "")))
    runs.append(("tls_time_limit", lambda: in_tls_world(path, tls_time_limit, ", timeout: 0.5")))
    if "myelin" in os.path.basename(path):  # three nats-servers 2.9 settle on a name now and then only
        runs.append(("names_11_12", lambda: names_11_12(path)))
    for name, scenario in runs:
        if only not in name:
            continue
        try:
            scenario()
            passed += 1
        except Failure as failure:
            failed += 1
            print(f"FAILED {name}: {failure}", flush=True)
    print(f"routes: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def in_tls_world(path, case, more):
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        certificate, key = authority.issue("node", names="IP:127.0.0.1")
        extra = f' tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.file}"{more} }}'
        with World(path, extra) as world:
            world.authority, world.certificate = authority, (certificate, key)
            case(world)


def in_world(path, case, extra=""):
    with World(path, extra) as world:
        case(world)


if __name__ == "__main__":
    sys.exit(main())
