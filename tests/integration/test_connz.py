#!/usr/bin/env python3
"""tests/integration/test_connz.py MYELIN REFERENCE... - in which order /connz lists connections, and why they ended.

Connections are made that differ in each figure, every figure in another order; each sort has to list them in the order
that the test has made, open, closed and page by page. Then each reason for which a server closes a client is brought about
and read. Every server given has to pass it: what is expected is a table here, not what Myelin says.
"""
import concurrent.futures
import json
import os
import re
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_monitoring import PATIENCE_SECONDS, Client, Server, certificate, moment, wait_for  # noqa: E402

AT_ONCE = 6  # scenes mostly wait
PLAIN = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
write_deadline: "60s"
accounts { A { users: [{user: a, password: a}] } }
"""


def start(program, config):
    return Server(program, config, ("--shards", "3") if "myelin" in os.path.basename(program) else ())


def version_of(server):
    return tuple(int(part) for part in server.json("/varz")["version"].split(".")[:2])


def names(document):
    return [connection.get("name") for connection in document["connections"]]


class Findings(list):
    def expect(self, what, good):
        if not good:
            self.append(what)


# ---- figures ----

# name: subscriptions, messages and bytes to the server, messages and bytes to the client, megabytes that wait for it
FIGURES = {
    "c0": (3, 1, 500, 40, 40, 0),
    "c1": (1, 40, 40, 3, 900, 0),
    "c2": (5, 7, 900, 10, 200, 12),
    "c3": (2, 20, 100, 1, 300, 0),
    "c4": (6, 3, 3000, 20, 60, 8),
    "c5": (4, 10, 700, 6, 6000, 0),
}
MEGABYTE = 1000 * 1000
ACTIVE = ["c3", "c0", "c5", "c1"]  # in this order at last; before them those that do not read, c4 and then c2


def by_most(column):
    return sorted(FIGURES, key=lambda name: -FIGURES[name][column] - (MEGABYTE * FIGURES[name][5] if column == 4 else
                                                                     FIGURES[name][5] if column == 3 else 0))


ORDERS = {
    "": list(FIGURES), "cid": list(FIGURES), "start": list(FIGURES), "uptime": list(FIGURES)[::-1],
    "subs": by_most(0), "msgs_from": by_most(1), "bytes_from": by_most(2), "msgs_to": by_most(3), "bytes_to": by_most(4),
    "last": ["c1", "c5", "c0", "c3", "c2", "c4"], "idle": ["c4", "c2", "c3", "c0", "c5", "c1"], "pending": ["c2", "c4"],
}


def pieces(count, total):
    """So many bodies, so many bytes in all."""
    return [total // count + (number < total % count) for number in range(count)]


def connect_small(server, name):
    """A client whose kernel takes little, so that what it does not read waits at the server."""
    client = Client(server, "a", name)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return client


def said_to(client, sizes, subject):
    return "".join("PUB %s.%s %d\r\n%s\r\n" % (subject, client, size, "x" * size) for size in sizes)


def make_figures(server):
    """Clients with FIGURES, over all shards."""
    clients = {name: connect_small(server, name) for name in FIGURES}
    feeder = Client(server, "a", "feeder")
    for name, (subscriptions, _, _, _, _, _) in FIGURES.items():
        clients[name].run("".join("SUB %s.%s %d\r\n" % ("to" if sid == 0 else "s%d" % sid, name, sid)
                                  for sid in range(subscriptions)))
    for name, (_, count, total, _, _, _) in FIGURES.items():
        clients[name].run(said_to(name, pieces(count, total), "from"))
    for name, (_, _, _, count, total, _) in FIGURES.items():
        feeder.run(said_to(name, pieces(count, total), "to"))
        if name in ACTIVE:
            clients[name].sync()

    def shown(name):
        return next(c for c in server.json("/connz?limit=100")["connections"] if c.get("name") == name)

    for name in ("c4", "c2"):  # behind 4 MB no kernel takes more of it
        feeder.run(said_to(name, [MEGABYTE] * FIGURES[name][5], "to"))
        wait_for("%s has all" % name, lambda: shown(name)["out_msgs"] == FIGURES[name][3] + FIGURES[name][5])
    for name in ACTIVE:
        clients[name].run("PUB touch 0\r\n\r\n")
    clients["c3"].sync()  # a PING is no activity
    feeder.close()
    wait_for("the feeder is gone", lambda: server.json("/connz")["total"] == len(FIGURES))
    return clients


VALUES = {"cid": "cid", "start": "start", "subs": "subscriptions", "pending": "pending_bytes", "msgs_to": "out_msgs",
          "msgs_from": "in_msgs", "bytes_to": "out_bytes", "bytes_from": "in_bytes", "last": "last_activity", "stop": "stop"}


def check_order(found, server, state, sort, expected):
    """The whole list, then page by page."""
    target = "/connz?state=%s%s" % (state, "&sort=" + sort if sort else "")
    whole = server.json(target)
    order = [name for name in names(whole) if name in FIGURES]
    found.expect("%s: %s" % (target, order), order[:len(expected)] == expected and sorted(order) == sorted(FIGURES))
    count = len(whole["connections"])
    found.expect("%s: counts" % target, whole["num_connections"] == count == whole["total"] and
                 (whole["offset"], whole["limit"]) == (0, 1024))
    key = VALUES.get(sort)
    if key is not None:
        values = [moment(c[key]) if isinstance(c[key], str) else c[key] for c in whole["connections"][:len(expected)]]
        found.expect("%s: values %s" % (target, values), len(set(values)) == len(values) and
                     values in (sorted(values), sorted(values, reverse=True)))
    paged = []
    for offset in range(0, count + 2, 2):
        page = server.json("%s&offset=%d&limit=2" % (target, offset))
        found.expect("%s: page at %d" % (target, offset), page["num_connections"] == len(page["connections"]) <= 2 and
                     (page["total"], page["offset"], page["limit"]) == (count, offset, 2))
        paged += [name for name in names(page) if name in FIGURES]
    complete = len(expected) < len(FIGURES) or sorted(paged) == sorted(FIGURES)  # equal ones come in any order, each time
    found.expect("%s: pages %s" % (target, paged), paged[:len(expected)] == expected and complete)


def figures(program):
    """Every sort over open connections, closed ones, and both."""
    found = Findings()
    server = start(program, PLAIN)
    try:
        newest = version_of(server) >= (2, 10)
        clients = make_figures(server)
        for sort, expected in ORDERS.items():
            if sort != "idle" or newest:  # 2.9 looks at the time from start to the last activity
                check_order(found, server, "open", sort, expected)
        leaving = ["c2", "c5", "c0", "c4", "c1", "c3"]
        for gone, name in enumerate(leaving):
            clients[name].close()
            wait_for("%s is gone" % name, lambda: server.json("/connz")["total"] == len(FIGURES) - 1 - gone)
        wait_for("all are listed", lambda: sum(n in FIGURES for n in names(server.json("/connz?state=closed"))) == len(FIGURES))
        closed = {sort: expected for sort, expected in ORDERS.items() if sort not in ("uptime", "idle", "pending")}
        for sort, expected in closed.items():
            check_order_of_some(found, server, "closed", sort, expected)
            check_order_of_some(found, server, "any", sort, expected)
        check_order_of_some(found, server, "closed", "stop", leaving[::-1])
    finally:
        server.stop()
    return found


def check_order_of_some(found, server, state, sort, expected):
    """As check_order() where there are others too: the feeder."""
    target = "/connz?state=%s%s" % (state, "&sort=" + sort if sort else "")
    order = [name for name in names(server.json(target)) if name in FIGURES]
    found.expect("%s: %s" % (target, order), order == expected)


# ---- round trips ----

DELAYS_MS = {"r0": 20, "r1": 300, "r2": 0, "r3": 150}
UNITS_NS = {"ns": 1, "µs": 1000, "ms": 10 ** 6, "s": 10 ** 9}


def span_ns(written):
    """Of a round trip, as Go writes it."""
    return sum(float(number) * UNITS_NS[unit] for number, unit in re.findall(r"([\d.]+)(ns|µs|ms|s)", written))


def answer_late(client, delay_ms):
    """Answers PINGs, each as late as that."""
    try:
        while line := client.stream.readline():
            if line == b"PING\r\n":
                threading.Event().wait(delay_ms / 1000)  # the round trip that the server is to measure
                client.say("PONG\r\n")
    except (OSError, ValueError):
        pass


def round_trips(program):
    """Those whose PONG comes late have a long round trip: at least as long as they waited, and the longest is the first."""
    found = Findings()
    server = start(program, PLAIN)
    clients = {name: Client(server, "a", name) for name in DELAYS_MS}
    threads = [threading.Thread(target=answer_late, args=(clients[name], delay)) for name, delay in DELAYS_MS.items()]
    for thread in threads:
        thread.start()
    try:
        if version_of(server) >= (2, 10):
            def told():
                shown = server.json("/connz?sort=rtt")["connections"]
                return all(span_ns(c["rtt"]) >= max(DELAYS_MS[c["name"]] * 10 ** 6, 1) for c in shown)

            wait_for("round trips are as long as they were made", told)
            shown = server.json("/connz?sort=rtt")["connections"]  # again: the last one may have come while that was told
            spans = [span_ns(c["rtt"]) for c in shown]
            found.expect("sort=rtt: %s" % spans, spans == sorted(spans, reverse=True) and len(spans) == len(DELAYS_MS))
            paged = [name for offset in range(4) for name in names(server.json("/connz?sort=rtt&limit=1&offset=%d" % offset))]
            found.expect("sort=rtt: pages %s" % paged, paged == [c["name"] for c in shown])
    finally:
        for client in clients.values():
            client.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        server.stop()
    return found


# ---- reasons ----

REASONS = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
max_payload: 900000
max_pending: 1000000
max_control_line: 1024
write_deadline: "1s"
max_connections: 6
authorization { timeout: 1 }
accounts {
  A { users: [{user: a, password: a}, {user: leaves, password: leaves}, {user: changes, password: changes}] }
  FEW { users: [{user: few, password: few}], limits { max_connections: 1 } }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS
"""
STALE = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
ping_interval: "1s"
ping_max: 1
accounts { A { users: [{user: a, password: a}] } }
"""
GOING = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
lame_duck_grace_period: "10ms"
lame_duck_duration: "30s"
accounts { A { users: [{user: a, password: a}] } }
"""
STAY = 20  # clients of a server that goes, each half a second or more behind the other


class Raw:
    """A client that knows its number."""

    def __init__(self, server, user=None, name="", **options):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", server.client_port))
        self.stream = self.socket.makefile("rb")
        self.cid = json.loads(self.stream.readline().split(b" ", 1)[1])["client_id"]
        if user is not None:
            self.say("CONNECT %s\r\nPING\r\n" % json.dumps({"verbose": False, "user": user, "pass": user, "name": name,
                                                            "protocol": 1, "headers": True, **options}))

    def say(self, words):
        self.socket.sendall(words.encode())

    def pong(self):
        while (line := self.stream.readline()) != b"PONG\r\n":
            if not line:
                raise RuntimeError("closed")
        return self

    def rest(self):
        """What is said until the end."""
        try:
            return self.stream.read()
        except ConnectionError:
            return b""

    def close(self):
        self.stream.close()
        self.socket.close()


def closed(server, cid):
    listed = server.json("/connz?state=closed&cid=%d&auth=1" % cid)["connections"]
    return listed[0] if listed else None


def of_its_own(server):
    client = Raw(server, "a").pong()
    client.close()
    return client


def reset(server):
    client = Raw(server, "a").pong()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return client


def saying(words, user="a"):
    def act(server):
        client = Raw(server, user)
        if user is not None:
            client.pong()
        client.say(words)
        client.rest()
        return client
    return act


def logging_in(user, **options):
    def act(server):
        client = Raw(server, user, **options)
        client.rest()
        return client
    return act


def silent(server):
    client = Raw(server)
    client.rest()
    return client


def too_many(server):
    clients = [Raw(server, "a").pong() for _ in range(6)]
    last = Raw.__new__(Raw)
    last.socket = socket.create_connection(("127.0.0.1", server.client_port), timeout=PATIENCE_SECONDS)
    last.stream = last.socket.makefile("rb")
    line = last.stream.readline()
    last.cid = json.loads(line.split(b" ", 1)[1])["client_id"] if line.startswith(b"INFO") else None
    last.rest()
    for client in clients:
        client.close()
    return last


def too_many_of_account(server):
    first = Raw(server, "few").pong()
    second = logging_in("few")(server)
    first.close()
    return second


def slow(pieces_of, until):
    """One who does not read, until the server has given up on it; what comes beyond the kernel's share waits."""
    def act(server):
        client = Raw(server, "a", "slow").pong()
        client.say("SUB slow 1\r\nPING\r\n")
        client.pong()
        publisher = Raw(server, "a").pong()

        def enough():
            publisher.say("PUB slow %d\r\n%s\r\nPING\r\n" % (pieces_of, "x" * pieces_of))
            publisher.pong()
            return until(server, client)

        wait_for("the slow one is too slow", enough)
        wait_for("it is closed", lambda: closed(server, client.cid))
        publisher.close()
        return client
    return act


def waits(server, client):
    shown = server.json("/connz?cid=%d" % client.cid)["connections"]
    return not shown or shown[0]["pending_bytes"] > 100000


def kicked(server):
    client, system = Raw(server, "a").pong(), Raw(server, "s").pong()
    body = '{"cid": %d}' % client.cid
    system.say("PUB $SYS.REQ.SERVER.%s.KICK r %d\r\n%s\r\n" % (server.json("/varz")["server_id"], len(body), body))
    client.rest()
    system.close()
    return client


def reloaded(user, change):
    def act(server):
        client = Raw(server, user).pong()
        path = os.path.join(server.folder.name, "compared.conf")
        with open(path, "r+", encoding="ascii") as file:
            text = file.read()
            file.seek(0)
            file.write(change(text))
            file.truncate()
        server.process.send_signal(signal.SIGHUP)
        client.rest()
        return client
    return act



# What is done, the reason, since which version. Not here: what only other kinds of connections are closed for, what asks for
# accounts that an operator signs (Authentication Expired, Credentials Revoked), and a failed write, which a socket that is
# closed by its peer reports as a failed read.
ACTS = [
    (of_its_own, "Client Closed", (2, 9)),
    (reset, "Read Error", (2, 9)),
    (silent, "Authentication Timeout", (2, 9)),
    (logging_in("wrong"), "Authentication Failure", (2, 9)),
    (saying("PUB x 0\r\n\r\n", None), "Authentication Failure", (2, 9)),
    (saying("NONSENSE\r\n"), "Protocol Violation", (2, 9)),
    (saying("PUB\r\n"), "Protocol Violation", (2, 9)),
    (saying("-ERR 'what'\r\n"), "Parse Error", (2, 9)),
    (saying("PUB x 900001\r\n"), "Maximum Message Payload Exceeded", (2, 9)),
    (saying("PUB %s 1\r\n" % ("x" * 5000)), "Maximum Control Line Exceeded", (2, 9)),
    (logging_in("a", protocol=2), "Bad Client Protocol Version", (2, 9)),
    (logging_in("a", headers=False, no_responders=True), "No Responders Requires Headers", (2, 9)),
    (too_many, "Maximum Connections Exceeded", (2, 9)),
    (too_many_of_account, "Maximum Account Connections Exceeded", (2, 11)),
    (slow(20000, waits), "Slow Consumer (Write Deadline)", (2, 9)),
    (kicked, "Kicked", (2, 10)),
    (reloaded("leaves", lambda text: text.replace(", {user: leaves, password: leaves}", "")), "Client Closed", (2, 9)),
    (reloaded("changes", lambda text: text.replace("password: changes", "password: other")), "Authentication Failure", (2, 9)),
]


def why_closed(found, server, client, expected):
    """The entry of a closed client tells why, and when; then the client may go."""
    entry = wait_for("%s is listed" % expected, lambda: closed(server, client.cid))
    found.expect("%s: %s" % (expected, entry), entry["reason"] == expected and entry["cid"] == client.cid and
                 moment(entry["start"]) <= moment(entry["last_activity"]) <= moment(entry["stop"]))
    client.close()


def reasons(program):
    found = Findings()
    server = start(program, REASONS)
    try:
        version, done = version_of(server), []
        for act, expected, since in ACTS:
            if version < since:
                continue
            try:
                client = act(server)
                why_closed(found, server, client, expected)
                done.append(expected)
            except (OSError, RuntimeError) as error:
                found.append("%s: %r" % (expected, error))
        texts = [c["reason"] for c in server.json("/connz?state=closed&sort=reason&limit=1000")["connections"]]
        found.expect("sort=reason: %s" % texts, texts == sorted(texts) and set(done) <= set(texts))
    finally:
        server.stop()
    return found


def one_act(program, config, act, expected):
    """One that wants a server with limits of its own."""
    found = Findings()
    server = start(program, config)
    try:
        why_closed(found, server, act(server), expected)
    finally:
        server.stop()
    return found


def stale(program):
    return one_act(program, STALE, saying(""), "Stale Connection")


def too_much(program):
    """Without a write deadline: nats-server holds the publisher back until that."""
    act = slow(900000, lambda server, client: closed(server, client.cid))
    return one_act(program, PLAIN + "max_payload: 900000\nmax_pending: 1000000\n", act, "Slow Consumer (Pending Bytes)")


def going(program):
    """Lame duck mode closes one after the other, and the monitoring port tells of it meanwhile."""
    found = Findings()
    server = start(program, GOING)
    try:
        clients = {client.cid: client for client in [Raw(server, "a").pong() for _ in range(STAY)]}
        server.process.send_signal(signal.SIGUSR2)
        gone = wait_for("three are gone", lambda: [c for c in server.json("/connz?state=closed&sort=stop")["connections"]
                                                   if c["cid"] in clients][2:] and server.json("/connz?state=closed&sort=stop"))
        first = [c for c in gone["connections"] if c["cid"] in clients]
        found.expect("lame duck: %s" % first, {c["reason"] for c in first} == {"Server Shutdown"})
        found.expect("not all at once: %d" % len(first), len(first) < STAY)
        for client in clients.values():
            client.close()
    finally:
        server.stop()
    return found


def sealed(program):
    with tempfile.TemporaryDirectory() as folder:
        tls = 'tls { cert_file: "%s", key_file: "%s" }\n' % tuple(certificate(folder))
        return one_act(program, PLAIN + tls, saying("CONNECT {}\r\n", None), "TLS Handshake Failure")


SCENES = [reasons, figures, going, round_trips, stale, too_much, sealed]


def play(scene, path):
    try:
        return scene(path)
    except (OSError, RuntimeError) as error:
        return ["%r" % error]


def main():
    plays = [(scene, path) for scene in SCENES for path in sys.argv[1:]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (scene, path), found in zip(plays, pool.map(lambda one: play(*one), plays)):
            failed += bool(found)
            print("connz: %s of %s: %s" % (scene.__name__, os.path.basename(path), found or "as expected"), flush=True)
    print("connz: %d passed, %d failed" % (len(plays) - failed, failed))
    return 1 if failed or not plays else 0


if __name__ == "__main__":
    sys.exit(main())
