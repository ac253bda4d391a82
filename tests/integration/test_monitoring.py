#!/usr/bin/env python3
"""tests/integration/test_monitoring.py MYELIN REFERENCE... - monitoring compared with nats-server's.

The same small workload runs against Myelin and each reference (a nats-server); then every endpoint's document is compared
key by key: which keys there are, their types, and the values of all that is not of the moment. What may differ stands in
DIFFERENCES, with the reason that docs/monitoring.md gives. Then come the rows that every server has to answer alike:
status, headers and texts of right and wrong requests. Without a reference only these run.
"""
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

import exporter

PATIENCE_SECONDS = 20  # how long an event may take before the test gives up on it
POLL_SECONDS = 0.02

CONFIG = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: compared
max_payload: 1000
accounts {
  A {
    users: [{user: a, password: a}]
    exports: [
      {service: "svc.a"}, {service: "svc.slow", accounts: [B], latency: {sampling: 50%, subject: "lat.a"}}, {service: "tok.*", account_token_position: 2}
      {service: "svc.many", response: stream, threshold: "2s"}, {service: "svc.some", latency: {sampling: headers, subject: "lat.b"}}
      {service: "svc.parts", response: chunked}, {stream: "st.>"}, {stream: "tok.s.*", account_token_position: 3}, {stream: "st2", accounts: [B]}
    ]
    mappings: {
      "m.x": [{destination: "m.y", weight: 50%}, {destination: "m.z", weight: 50%}]
      "m.order": [{destination: "m.a", weight: 50%}, {destination: "m.b", weight: 30%}, {destination: "m.c", weight: 20%}]
      "m.*.rest.*": [{destination: "m.$2.$1", weight: 30%}, {destination: "n.$1.$2", weight: 5%}]
      "m.near": [{destination: "m.c1", weight: 60%, cluster: C1}, {destination: "m.c2", weight: 20%, cluster: C1}, {destination: "m.all", weight: 10%}]
      "m.plain": "m.other"
    }
  }
  B {
    users: [{user: b, password: b}]
    imports: [
      {service: {account: A, subject: "svc.a"}, to: "local.svc"}, {stream: {account: A, subject: "st.>"}, prefix: "imp"}
      {service: {account: A, subject: "svc.slow"}}, {service: {account: A, subject: "svc.some"}, share: true}
      {service: {account: A, subject: "svc.many"}}, {stream: {account: A, subject: "st2"}}
    ]
  }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS
"""

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z$"
SPAN = r"^(\d+y)?(\d+d)?(\d+h)?(\d+m)?\d+s$"
RTT = r"^(0s|\d+ns|\d+µs|\d+(\.\d+)?m?s)$"

# What is of the moment or of the machine: the pattern of the text, or None for any value of that type.
VOLATILE = [
    (r"(^|\.)(server_id)$", r"^N[A-Z2-7]{55}$"),
    (r"(^|\.)(now|start|last_activity|stop|config_load_time|update_time)$", TIME),
    (r"(^|\.)(uptime|idle)$", SPAN),
    (r"(^|\.)rtt$", RTT),
    (r"(^|\.)(port|http_port|mem|cpu|cid|config_digest|go|version)$", None),
]

# (document, path, reason): a key that only one of them has, or a value that differs.
NEWER = "newer than nats-server 2.9; Myelin shows what the newest shows"
INTERNAL = "nats-server counts its own subscriptions of system services; Myelin has none"
CACHE = "Myelin's match cache is one per shard, behind a memo; nats-server's is one per account, behind its clients' own"
DIFFERENCES = [
    ("varz", r"in_client_|out_client_|stale_connection|stalled_clients$|config_digest|slow_consumer_stats", NEWER),
    ("varz", r"^(version|go|gomaxprocs)$", "another program"),
    ("varz", r"^feature_flags|^disk_io_wait_stats", "of JetStream, which Myelin has not"),
    ("varz", r"^subscriptions$", INTERNAL),
    ("varz", r"^jetstream\.", "of JetStream"),
    ("accountz?acc", r"^account_detail\.name_tag$", NEWER),
    ("connz", r"\.(name_tag|account_tag)$", NEWER),
    ("subsz", r"\.account_tag$", NEWER),
    ("subsz?subs", r"^subscriptions_list$", "[] where nats-server has left out its own"),
    ("accountz?acc", r"^account_detail\.(subscriptions|sublist_stats\.\w+)$", INTERNAL + "; " + CACHE),
    ("accountz?acc", r"^account_detail\.imports\[.*(subject|to|local_subject)$",
     "the exporter's subject stands in `subject` since 2.9.17"),
    ("accstatz", r"\.(name|num_subscriptions|sent\.(gateways|routes|leafs).*|received\.(gateways|routes|leafs).*)$", NEWER),
    ("subsz", r"^(num_\w+|cache_hit_rate|max_fanout|avg_fanout)$", INTERNAL + "; " + CACHE),
    ("subsz", r"^(server_id|now|total|offset|limit)$", "2.9 leaves these out when no subscription is listed"),
    ("jsz", r"^(total|api\.level)$", NEWER),
    ("leafz", r"^leafs$", "[] since 2.10.16, null before"),
    ("routez", r"^server_name$", NEWER),
    ("varz", r"^http_req_stats\.", "a server that is compared twice was asked more"),
    ("connz?state", r"pending_bytes$", "of a closed one, nats-server sometimes lists what it had not flushed yet"),
    ("connz?state", r"\.subscriptions_list_detail$", "2.9 goes on listing those of a closed one that were listed once"),
    ("connz?cid={kept}", r"pending_bytes$|\.subscriptions_list_detail$", "likewise"),
    ("connz?", r"^total$", "2.9 counts those too that `user`, `cid` and `mqtt_client` leave out"),
]


# ---- servers ----

class Server:
    def __init__(self, program, config=CONFIG, arguments=()):
        self.program = program
        self.tls = None
        self.config = config
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "compared.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(config)
        self.log = open(os.path.join(self.folder.name, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([program, "-c", path, *arguments], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.client_port = self.http_port = self.route_port = None
        wait_for("the server is ready", self.ready)

    def ready(self):
        with open(self.log.name, encoding="utf-8") as file:
            said = file.read()
        http = re.search(r"Starting https? monitor on \S+:(\d+)", said)
        client = re.search(r"Listening for client connections on \S+:(\d+)", said)
        if self.process.poll() is not None:
            raise RuntimeError("%s does not start: %s" % (self.program, said))
        if "Server is ready" not in said or http is None or client is None:
            return False
        self.http_port, self.client_port = int(http.group(1)), int(client.group(1))
        route = re.search(r"Listening for route connections on \S+:(\d+)", said)
        self.route_port = None if route is None else int(route.group(1))
        return route is not None or "cluster {" not in self.config

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode not in (0, 1):  # of a sanitizer
            with open(self.log.name, encoding="utf-8") as file:
                print(file.read()[-4000:], file=sys.stderr)
            raise RuntimeError("%s ended with %d" % (self.program, self.process.returncode))
        self.log.close()
        self.folder.cleanup()

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.http_port), timeout=PATIENCE_SECONDS)
        return connection if self.tls is None else self.tls.wrap_socket(connection, server_hostname="localhost")

    def raw(self, request):
        """All that the server answers before it closes."""
        with self.connect() as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer

    def get(self, target):
        """Status, headers by lower-case name, body."""
        answer = self.raw(b"GET " + target.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return split_answer(answer)

    def json(self, target):
        status, _, body = self.get(target)
        if status != 200:
            raise RuntimeError("%s: status %d, %r" % (target, status, body))
        return json.loads(body)


def split_answer(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
    if headers.get("transfer-encoding") == "chunked":
        whole = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            count = int(size, 16)
            whole, body = whole + rest[:count], rest[count + 2:]
        body = whole
    return int(lines[0].split(" ")[1]), headers, body


def wait_for(what, happened):
    """Polls: the servers have no other way to say so. Returns what `happened` returned."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := happened()):
        if time.monotonic() > deadline:
            raise RuntimeError("it never came to this: " + what)
        time.sleep(POLL_SECONDS)
    return result


# ---- the workload ----

WRONG = {"pass": "wrong"}  # of a user that there is

class Client:
    def __init__(self, server, user, name, tls=None, **options):
        self.socket = socket.create_connection(("127.0.0.1", server.client_port), timeout=PATIENCE_SECONDS)
        line = b""
        while not line.endswith(b"\n"):  # not one byte more: what follows may be TLS
            line += self.socket.recv(1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.stream = self.socket.makefile("rb")
        if user is not None:
            connect = {"verbose": False, "pedantic": False, "user": user, "pass": user, "name": name, "lang": "py",
                       "version": "0.1", "protocol": 1, "headers": True, **options}
            self.say("CONNECT %s\r\n" % json.dumps(connect))
            if connect["pass"] != "wrong" and not connect.get("no_responders"):
                self.sync()  # nats-server books what comes with CONNECT on another account

    def say(self, words):
        self.socket.sendall(words.encode())

    def sync(self):
        """All that was said has been taken, and what came of it is here."""
        self.say("PING\r\n")
        while line := self.stream.readline():
            if line == b"PONG\r\n":
                return
        raise RuntimeError("closed")

    def run(self, words):
        self.say(words)
        self.sync()

    def close(self):
        self.stream.close()
        self.socket.close()

    def until_closed(self):
        while self.stream.read(4096):
            pass
        self.close()


def workload(server):
    """Open clients that stay, and some that end in all ways that a test can wait for."""
    worker = Client(server, "a", "worker")
    worker.run("SUB foo 1\r\nSUB foo.* 2\r\nSUB q.x group 3\r\nSUB once 4\r\nUNSUB 4 10\r\n")
    plain = Client(server, "a", "plain", headers=False)
    plain.run("SUB foo 1\r\n")
    importer = Client(server, "b", "importer")
    importer.run("SUB imp.st.> <1>\r\n")
    publisher = Client(server, "a", "publisher")
    publisher.run("PUB foo 5\r\nhello\r\n" * 3 + "PUB nobody 4\r\nlost\r\nPUB st.x 3\r\nabc\r\nPUB q.x 2\r\nqq\r\n")
    publisher.run("HPUB foo 19 24\r\nNATS/1.0\r\na: bc\r\n\r\nhello\r\n")
    for client in (worker, plain, importer, publisher):
        client.sync()

    Client(server, "a", "leaves").close()
    kept = Client(server, "a", "kept")
    kept.run("SUB gone.> 7\r\n")
    kept.close()
    Client(server, "wrong", "intruder").until_closed()
    Client(server, "a", "thief", **WRONG).until_closed()
    for name, words in (("unknown", "NONSENSE\r\n"), ("large", "PUB foo 1001\r\n"), ("line", "PUB %s 1\r\n" % ("x" * 5000))):
        client = Client(server, "a", name)
        client.say(words)
        client.until_closed()
    Client(server, "a", "deaf", headers=False, no_responders=True).until_closed()
    reset = Client(server, "a", "reset")
    reset.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.close()
    wait_for("nine closed connections are listed", lambda: server.json("/connz?state=closed")["total"] == 9)
    return [worker, plain, importer, publisher]


# ---- comparing ----

DOCUMENTS = [
    "/varz", "/connz", "/connz?auth=1", "/connz?subs=1", "/connz?subs=detail&auth=1", "/connz?subs=DETAIL&acc=B&auth=1",
    "/connz?acc=A", "/connz?acc=NOPE", "/connz?user=a&auth=1", "/connz?user=nope", "/connz?acc=A&user=a&limit=1",
    "/connz?mqtt_client=x", "/connz?limit=2&offset=1", "/connz?offset=99", "/connz?state=OPEN", "/connz?state=closed&auth=1",
    "/connz?state=closed&subs=detail&sort=cid", "/connz?state=closed&sort=reason", "/connz?state=closed&sort=stop",
    "/connz?state=closed&limit=3", "/connz?state=any&sort=cid", "/connz?state=all&sort=bytes_to",
    "/connz?state=closed&acc=A", "/connz?cid={worker}&subs=1", "/connz?cid={kept}&state=closed&auth=1", "/connz?cid={kept}&state=any",
    "/connz?cid={kept}", "/connz?cid=99999",
    *("/connz?sort=" + by for by in ("cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last",
                                     "idle")),
    "/connz?sort=uptime", "/subsz", "/subsz?acc=A", "/subsz?limit=-1&offset=-2", "/subsz?subs=1", "/subsz?subs=1&acc=A", "/subsz?subs=1&acc=NOPE",
    "/subsz?subs=1&acc=A&offset=99", "/subsz?subs=1&test=foo.y", "/subsz?subs=1&test=foo.y&acc=A&limit=1", "/subsz?test=foo",
    "/routez", "/routez?subs=1", "/routez?subs=detail", "/gatewayz", "/gatewayz?gw_name=x", "/gatewayz?accs=1", "/gatewayz?acc_name=A",
    "/gatewayz?subs=1", "/gatewayz?subs=detail", "/leafz", "/leafz?subs=1", "/leafz?acc=A",
    "/accountz", "/accountz?acc=A", "/accountz?acc=B", "/accountz?acc=SYS", "/accstatz", "/accstatz?unused=1", "/accstatz?unused=0",
    "/jsz", *("/jsz?" + given for given in (
        "acc=A", "acc=NOPE", "accounts=1", "streams=1", "consumers=1", "config=1", "direct-consumers=1", "offset=1&limit=2", "raft=1",
        "stream-leader-only=1", "acc=A&streams=1&consumers=1&config=1")),
    "/healthz", *("/healthz?" + given for given in (
        "js-enabled=true", "js-enabled-only=true", "js-server-only=true", "js-meta-only=true", "account=A", "account=NOPE", "details=true")),
    "/ipqueuesz", "/ipqueuesz?all=0", "/ipqueuesz?queues=x", "/ipqueuesz?all=1&queues=nope",
]
NEWER_DOCUMENTS = ["/connz?sort=rtt"]


def allowed(document, path, differences):
    return any(document.startswith("/" + start) and re.search(pattern, path) for start, pattern, _ in differences)


def kind(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


class Comparison:
    def __init__(self, document, ordered, differences=None, volatile=None):
        self.document = document
        self.ordered = ordered
        self.differences = DIFFERENCES if differences is None else differences
        self.volatile = VOLATILE if volatile is None else volatile
        self.found = []

    def differ(self, path, what):
        if not allowed(self.document, path, self.differences):
            self.found.append("%s %s: %s" % (self.document, path or "(all)", what))

    def values(self, path, reference, own):
        if kind(reference) != kind(own):
            self.differ(path, "%r, Myelin has %r" % (reference, own))
        elif isinstance(reference, dict):
            self.objects(path, reference, own)
        elif isinstance(reference, list):
            self.lists(path, reference, own)
        else:
            self.scalars(path, reference, own)

    def objects(self, path, reference, own):
        for key in sorted(reference.keys() | own.keys()):
            below = path + "." + key if path else key
            if key not in own:
                self.differ(below, "Myelin has it not")
            elif key not in reference:
                self.differ(below, "only Myelin has it")
            else:
                self.values(below, reference[key], own[key])
        if self.ordered:
            common = [key for key in reference if key in own]
            if common != [key for key in own if key in reference]:
                self.differ(path, "keys in another order: %s" % list(own))

    def lists(self, path, reference, own):
        if len(reference) != len(own):
            self.differ(path, "%d elements, Myelin has %d" % (len(reference), len(own)))
            return
        for at, (one, other) in enumerate(zip(reference, own)):
            self.values("%s[%d]" % (path, at), one, other)

    def scalars(self, path, reference, own):
        for pattern, form in self.volatile:
            if re.search(pattern, path):
                for who, value in (("nats-server", reference), ("Myelin", own)):
                    if form is not None and value != "" and not re.search(form, value):
                        self.differ(path, "%s wrote %r" % (who, value))
                return
        if reference != own:
            self.differ(path, "%r, Myelin has %r" % (reference, own))


def without_internal(document, value):
    """What nats-server imports into every account for its system services, and the order that it leaves to chance."""
    if document.startswith("/accountz"):
        detail = value.get("account_detail", {})
        for part in ("imports", "exports"):
            if part in detail:
                detail[part] = sorted((item for item in detail[part] if not item["subject"].startswith("$SYS.") and
                                       not item.get("to", "").startswith("$SYS.")), key=lambda item: (item["type"], item["subject"]))
                if not detail[part]:
                    del detail[part]
        if "mappings" in detail:  # Myelin lists them as they are tried
            detail["mappings"] = dict(sorted(detail["mappings"].items()))
        if "accounts" in value:
            value["accounts"].sort()
    if document.startswith("/accstatz"):
        value["account_statz"].sort(key=lambda account: account["acc"])
    if document.startswith("/subsz") and "subscriptions_list" in value:
        value["subscriptions_list"] = sorted((one for one in value["subscriptions_list"] if not one["subject"].startswith("$SYS.") and
                                              one["subject"] not in ("local.svc", "st.>")), key=lambda one: (one["account"], one["sid"]))
    if document.startswith("/connz") and value["connections"]:
        for connection in value["connections"]:
            if "subscriptions_list" in connection:
                connection["subscriptions_list"].sort()
            connection.get("subscriptions_list_detail", []).sort(key=lambda item: item["sid"])
        value["connections"].sort(key=lambda c: (sort_key(document, c), c["cid"]))
    return value


# What connections are sorted by: figures that are equal on both servers, and moments.
FIGURES = {"subs": "subscriptions", "pending": "pending_bytes", "msgs_to": "out_msgs", "msgs_from": "in_msgs",
           "bytes_to": "out_bytes", "bytes_from": "in_bytes"}
MOMENTS = {"start": ("start", False), "last": ("last_activity", True), "idle": ("last_activity", False), "stop": ("stop", True)}


def sorted_by(document):
    found = re.search(r"sort=(\w+)", document)
    return found.group(1) if found else "cid"


def sort_key(document, connection):
    """Connections that are equal in what they are sorted by come in any order."""
    by = sorted_by(document)
    if by in FIGURES:
        return -connection[FIGURES[by]]
    return connection["reason"] if by == "reason" else 0


def in_order(document, connections):
    """What a server sorted must be in order before anything is done to it."""
    by = sorted_by(document)
    if by in MOMENTS:
        name, last_first = MOMENTS[by]
        keys = [moment(connection[name]) for connection in connections]
        return keys == sorted(keys, reverse=last_first)
    keys = [sort_key(document, connection) for connection in connections or []]
    return keys == sorted(keys)


def filled(document, server):
    """With the numbers that this server has given to the clients of those names."""
    for name in re.findall(r"\{(\w+)\}", document):
        shown = server.json("/connz?state=any")["connections"]
        cid = next(connection["cid"] for connection in shown if connection.get("name") == name)
        document = document.replace("{%s}" % name, str(cid))
    return document


def compare(reference, myelin, ordered):
    found = []
    for document in DOCUMENTS + (NEWER_DOCUMENTS if ordered else []):
        theirs, ours = (server.json(filled(document, server)) for server in (reference, myelin))
        if document.startswith("/connz") and not in_order(document, ours["connections"]):
            found.append("%s: not in order" % document)
        comparison = Comparison(document, ordered)
        comparison.values("", without_internal(document, theirs), without_internal(document, ours))
        found += comparison.found
    return found


# ---- requests that every server answers alike ----

# target, status (a redirect is 307 from Go 1.26 on), the body's pattern
ROWS = [
    ("/nope", 404, r"^404 page not found\n$"),
    ("/varz/", 404, r"^404 page not found\n$"),
    ("/VARZ", 404, r"^404 page not found\n$"),
    ("//varz", 301, r""),
    ("/a/../varz", 301, r""),
    ("/connz?auth=x", 400, r"^Error decoding boolean for 'auth': strconv\.ParseBool: parsing \"x\": invalid syntax$"),
    ("/connz?subs=2", 400, r"^Error decoding boolean for 'subs': strconv\.ParseBool: parsing \"2\": invalid syntax$"),
    ("/connz?limit=x", 400, r"^Error decoding int for 'limit': strconv\.Atoi: parsing \"x\": invalid syntax$"),
    ("/connz?offset=99999999999999999999", 400,
     r"^Error decoding int for 'offset': strconv\.Atoi: parsing \"99999999999999999999\": value out of range$"),
    ("/connz?cid=-1", 400, r"^Error decoding uint64 for 'cid': strconv\.ParseUint: parsing \"-1\": invalid syntax$"),
    ("/connz?state=half", 400, r"^Error decoding state for half$"),
    ("/connz?sort=bad", 400, r"^invalid sorting option: bad$"),
    ("/connz?sort=stop", 400, r"^sort by stop only valid on closed connections$"),
    ("/connz?sort=reason", 400, r"^sort by reason only valid on closed connections$"),
    ("/connz?limit=%zz", 200, r'"limit": 1024'),
    ("/connz?limit=3;x&offset=1", 200, r'"offset": 1,\s+"limit": 1024'),
    ("/connz?limit=1&limit=2", 200, r'"limit": 1,'),
    ("/connz?limit=-5&offset=-3", 200, r'"offset": 0,\s+"limit": 1024'),
    *((target + "x", 400, r"^Error decoding (boolean|int) for '%s': strconv\.(ParseBool|Atoi): parsing \"x\": invalid syntax$" %
       target.split("?")[1].rstrip("="))
      for target in ("/connz?offset=", "/routez?subs=", "/gatewayz?accs=", "/leafz?subs=", "/subsz?subs=", "/subsz?limit=", "/subsz?offset=",
                     "/accstatz?unused=", "/jsz?accounts=", "/jsz?streams=", "/jsz?consumers=", "/jsz?config=", "/jsz?leader-only=",
                     "/jsz?limit=", "/jsz?offset=", "/healthz?js-enabled=", "/healthz?js-enabled-only=", "/healthz?js-server-only=",
                     "/ipqueuesz?all=")),
    ("/leafz?subs=detail", 400, r"^Error decoding boolean for 'subs'"),
    ("/subsz?test=foo.*", 400, r"^invalid test subject, must be valid publish subject: foo\.\*$"),
    ("/leafz?subs=2", 400, r"^Error decoding boolean for 'subs'"),
    ("/accountz?acc=NOPE", 400, r"Account NOPE does not exist"),
    ("/jsz?leader-only=1", 400, r"^filtered response: not leader$"),
    ("/healthz", 200, r'^\{"status":"ok"\}$'),
    ("/healthz?js-enabled-only=true", 200, r'^\{"status":"ok"\}$'),
    ("/subscriptionsz?subs=1&acc=A&test=foo.y", 200, r'"subject": "foo\.\*"'),
    ("/connz?user=a", 200, r'"num_connections": 3'),
    ("/varz", 200, r'^\{\n  "server_id": "N[\s\S]*[^\n]$'),
    ("/", 200, r'href="?\./varz\W[\s\S]*General[\s\S]*href="?\./healthz\W'),
]


# Since 2.10 and later.
NEWER_ROWS = [
    *((target + "x", 400, r"^Error decoding boolean for '%s': strconv\.ParseBool: parsing \"x\": invalid syntax$" %
       target.split("?")[1].rstrip("="))
      for target in ("/jsz?raft=", "/jsz?stream-leader-only=", "/jsz?direct-consumers=", "/healthz?js-meta-only=", "/healthz?details=",
                     "/gatewayz?subs=")),
    ("/healthz?stream=S", 400, r'^\{"status":"error","error":"\\"account\\" must not be empty when checking stream health"\}$'),
    ("/healthz?stream=S&details=1", 400, r'^\{"status":"error","errors":\[\{"type":"BAD_REQUEST","error":"\\"account\\" must not be empty .*"\}\]\}$'),
    ("/healthz?consumer=C", 400, r'^\{"status":"error","error":"\\"stream\\" must not be empty when checking consumer health"\}$'),
    ("/raftz", 404, r"^No Raft nodes registered$"),
    ("/raftz?acc=A&group=x", 404, r"^No Raft nodes registered$"),
    ("/debug/vars", 200, r'^\{\n? *"cmdline": ?\[\s*"[\s\S]*"memstats": ?\{'),
]


def check_rows(server, newest):
    found = []
    for target, status, pattern in ROWS + (NEWER_ROWS if newest else []):
        got, headers, body = server.get(target)
        if got != status and (got, status) != (307, 301) or not re.search(pattern, body.decode()):
            found.append("%s: status %d, body %r" % (target, got, body[:200]))
        form = headers.get("content-type", "")
        expected = "text/html" if target == "/" or status == 301 else "application/json" if status == 200 or "status" in pattern else "text/plain"
        if not form.startswith(expected) and status != 301:
            found.append("%s: content type %r" % (target, form))
        if status == 301 and headers.get("location") != "/varz":
            found.append("%s: location %r" % (target, headers.get("location")))
        if "date" not in headers:
            found.append("%s: no date" % target)
    return found


def check_http(server):
    """Framing: pipelining, keep-alive, HEAD, old and wrong requests."""
    found = []

    def expect(what, good):
        if not good:
            found.append("HTTP: " + what)

    answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    first, second = answer.find(b'{"status":"ok"}'), answer.find(b"404 page not found\n")
    expect("two pipelined requests, two replies in order", 0 < first < second and answer.count(b"HTTP/1.1 ") == 2)
    answer = server.raw(b"HEAD /varz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    expect("HEAD has no body", answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n"))
    answer = server.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
    expect("HTTP/1.0 needs no Host and closes", b" 200 " in answer and answer.endswith(b'{"status":"ok"}'))
    answer = server.raw(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    expect("a body is skipped", answer.count(b'{"status":"ok"}') == 2)
    answer = server.raw(b"GET /varz HTTP/1.1\r\n\r\n")
    expect("Host is required", answer.startswith(b"HTTP/1.1 400 ") and b"missing required Host header" in answer)
    expect("rubbish is refused", server.raw(b"rubbish\r\n\r\n").startswith(b"HTTP/1.1 400 "))
    expect("HTTP/2 is refused", server.raw(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 505 "))
    return found


PLACES = """
listen: "127.0.0.1:-1"
ports_file_dir: "%(folder)s"
%(lines)s
"""
ADVERTISING = "accounts { SYS { users: [{user: s, password: s}] } }\nsystem_account: SYS"


def certificate(folder):
    """A certificate for localhost that vouches for itself; the paths of its file and of its key."""
    paths = [os.path.join(folder, name) for name in ("cert.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", paths[0],
                    "-keyout", paths[1]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return paths


def ends_at(path):
    """The last second of a certificate, as OpenSSL reads it."""
    shown = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-enddate", "-dateopt", "iso_8601"], check=True,
                           capture_output=True, text=True).stdout
    return shown.strip().replace("notAfter=", "").replace(" ", "T")


def check_places(program):
    """Base path and HTTPS: where the port is and who may look."""
    found = []

    def expect(what, good):
        if not good:
            found.append("places: " + what)

    def ports(folder):
        return [name for name in os.listdir(folder) if name.endswith(".ports")]

    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, PLACES % {"folder": folder, "lines": 'http: "127.0.0.1:-1"\nhttp_base_path: "mon/x"'})
        expect("the base path is the index", server.get("/mon/x")[0] == 200 and server.get("/mon/x/")[0] == 404)
        expect("endpoints are below it", server.get("/mon/x/healthz")[0] == 200 and server.get("/healthz")[0] == 404)
        expect("links repeat it", b"x/varz" in server.get("/mon/x")[2])
        expect("/varz shows it as written", server.json("/mon/x/varz")["http_base_path"] == "mon/x")
        wait_for("the ports file is there", lambda: ports(folder))
        with open(os.path.join(folder, ports(folder)[0]), encoding="utf-8") as file:
            listed = json.load(file)
        expect("the ports file names it", listed["monitoring"] == ["http://127.0.0.1:%d" % server.http_port])
        server.stop()

        cert, key = certificate(folder)
        tls = 'tls { cert_file: "%s", key_file: "%s", ca_file: "%s", verify: true }' % (cert, key, cert)
        others = 'cluster { name: C, listen: "127.0.0.1:-1", %s }\ngateway { name: C, listen: "127.0.0.1:-1", %s }\n' % (tls, tls)
        server = Server(program, PLACES % {"folder": folder, "lines": 'https: "127.0.0.1:-1"\n' + others + tls})
        answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        expect("clear text is answered in clear",
               b" 400 " in answer and answer.endswith(b"Client sent an HTTP request to an HTTPS server.\n"))
        server.tls = ssl.create_default_context(cafile=cert)
        expect("nobody needs a certificate to look", server.get("/healthz")[0] == 200)
        shown = ssl.create_default_context(cafile=cert)
        shown.load_cert_chain(cert, key)
        client = Client(server, "", "sealed", tls=shown)
        client.sync()
        sealed = server.json("/connz?auth=1")["connections"][0]
        expect("TLS of a connection", sealed["tls_version"] == "1.3" and sealed["tls_cipher_suite"].startswith("TLS_"))
        with open(cert, encoding="ascii") as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        expect("its certificate", [(peer["subject"], peer["cert_sha256"], len(peer["spki_sha256"]))
                                   for peer in sealed["tls_peer_certs"]] ==
               [("CN=localhost", hashlib.sha256(der).hexdigest(), 64)])
        expect("certificates are for who asks", "tls_peer_certs" not in server.json("/connz")["connections"][0] or
               server.json("/varz")["version"].startswith("2.9."))
        client.close()
        wait_for("it is gone", lambda: server.json("/connz?state=closed")["connections"])
        gone = server.json("/connz?state=closed&auth=1")["connections"][0]
        expect("and when it is closed", gone["tls_version"] == "1.3" and len(gone.get("tls_peer_certs", [0])) == 1)
        varz = server.json("/varz")
        # nats-server shows -1 when it was told so.
        expect("/varz tells of TLS", varz["https_port"] in (server.http_port, -1) and varz["http_port"] == 0 and
               varz["tls_required"] and varz["tls_verify"])
        ends = [part.get("tls_cert_not_after") for part in (varz, varz["cluster"], varz["gateway"])]
        expect("/varz tells when certificates end", ends == [None if varz["version"].startswith("2.9.") else ends_at(cert)] * 3)
        answer = server.raw((b"GET /accountz HTTP/1.1\r\nHost: x\r\n\r\n" * 50) +
                            b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        expect("fifty pipelined requests", answer.count(b"HTTP/1.1 200 ") == 51)
        server.stop()

        lines = 'http: "127.0.0.1:-1"\nclient_advertise: "10.9.8.7:4333"\ngateway { name: C, listen: "127.0.0.1:-1", advertise: "10.9.8.6" }\n'
        server = Server(program, PLACES % {"folder": folder, "lines": lines + ADVERTISING})
        varz, gatewayz = server.json("/varz"), server.json("/gatewayz")
        expect("/varz shows where clients are sent", (varz["host"], varz["port"]) == ("10.9.8.7", 4333))
        expect("/gatewayz shows where clusters are sent", (gatewayz["host"], gatewayz["port"]) == ("10.9.8.6", varz["gateway"]["port"]))
        expect("/varz shows where it listens for these", varz["gateway"]["host"] == "127.0.0.1" and varz["gateway"]["port"] > 0)
        asker = Client(server, "s", "asker")
        asker.say("SUB hosts 1\r\nPUB $SYS.REQ.SERVER.PING hosts 15\r\n{\"host\":\"10.9\"}\r\n")
        while not (line := asker.stream.readline()).startswith(b"{"):
            pass
        expect("the system account is told so, and may ask for it", json.loads(line)["server"]["host"] == "10.9.8.7")
        asker.close()
        server.stop()

        for lines, why in (('http: "127.0.0.1:-1"\nhttps_port: 27998\n' + tls, "can't specify both HTTP (-1) and HTTPs (27998) ports"),
                           ('https: "127.0.0.1:-1"', "TLS cert and key required for HTTPS")):
            try:
                Server(program, PLACES % {"folder": folder, "lines": lines}).stop()
                expect(why, False)
            except RuntimeError as error:
                expect(why, "Can't start monitoring: " + why in str(error))
    return found


CROWD = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
max_closed_clients: 200
shards: 3
"""
CROWD_CLIENTS = 700  # more than the 256 of a page on each of three shards, and than two windows of 128
CROWD_SUBSCRIPTIONS = 3000  # of one client: their texts fill several pages


def moment(written):
    """A time so that texts are in the order of times: zeros at its end are cut."""
    whole, _, fraction = written.rstrip("Z").partition(".")
    return whole + "." + fraction.ljust(9, "0")


def check_pages(program):
    """More of everything than fits into one page, over several shards: nothing is lost, doubled or out of order."""
    found = []

    def expect(what, good):
        if not good:
            found.append("pages: " + what)

    server = Server(program, CROWD)
    clients = [Client(server, "", "c%d" % number) for number in range(CROWD_CLIENTS)]
    for number, client in enumerate(clients):
        client.run("".join("SUB s.%d.%d %d\r\n" % (number, sid, sid) for sid in range(number % 4)))
    large = Client(server, "", "large")
    large.run("".join("SUB large.%s.%d %d\r\n" % ("x" * 30, sid, sid) for sid in range(CROWD_SUBSCRIPTIONS)))
    large.run("PUB s.1.0 3\r\nabc\r\n" * 100)
    count = CROWD_CLIENTS + 1
    subscriptions = CROWD_SUBSCRIPTIONS + sum(number % 4 for number in range(CROWD_CLIENTS))

    whole = server.json("/connz?limit=100000")
    cids = [connection["cid"] for connection in whole["connections"]]
    expect("all connections are listed once, by cid", cids == sorted(set(cids)) and len(cids) == count == whole["total"])
    parts = []
    for offset in range(0, count, 90):
        page = server.json("/connz?limit=90&offset=%d" % offset)
        parts += [connection["cid"] for connection in page["connections"]]
        expect("each page tells how long it is", page["num_connections"] == len(page["connections"]) <= 90)
    expect("pages make up the whole", parts == cids)
    by_subs = [c["subscriptions"] for c in server.json("/connz?sort=subs&limit=400")["connections"]]
    expect("the largest come first", by_subs == sorted(by_subs, reverse=True) and by_subs[0] == CROWD_SUBSCRIPTIONS)
    listed = server.json("/connz?subs=1&limit=100000")["connections"]
    expect("all subscriptions of all", all(len(set(c.get("subscriptions_list", []))) == c["subscriptions"] for c in listed))
    one = server.json("/connz?subs=detail&cid=%d" % cids[-1])["connections"][0]
    expect("one connection in detail", len({s["sid"] for s in one["subscriptions_list_detail"]}) == CROWD_SUBSCRIPTIONS)

    everything = server.json("/subsz?subs=1&limit=100000")
    subjects = [s["subject"] for s in everything["subscriptions_list"]]
    expect("all subscriptions once", len(set(subjects)) == len(subjects) == everything["total"] == subscriptions)
    parts = []
    for offset in range(0, subscriptions, 700):
        parts += [s["subject"] for s in server.json("/subsz?subs=1&limit=700&offset=%d" % offset)["subscriptions_list"]]
    expect("pages of subscriptions make up the whole", parts == subjects)
    expect("a test subject", server.json("/subsz?subs=1&test=s.5.0")["total"] == 1)
    varz = server.json("/varz")
    expect("sums over shards", (varz["connections"], varz["subscriptions"], varz["in_msgs"], varz["out_msgs"]) ==
           (count, subscriptions, 100, 100))

    for client in clients + [large]:
        client.close()
    wait_for("all are closed", lambda: server.json("/varz")["connections"] == 0)
    closed = server.json("/connz?state=closed&limit=100000&sort=stop")
    expect("as many closed ones as each shard keeps", closed["total"] == 3 * 200 == len(closed["connections"]))
    expect("and those are the last", closed["connections"][0]["cid"] > CROWD_CLIENTS / 2)
    stops = [moment(connection["stop"]) for connection in closed["connections"]]
    expect("the last of them first", stops == sorted(stops, reverse=True))
    server.stop()
    return found


def check_subjects(program):
    """Watching begins with the first question; behind a window with little in it every message is looked at."""
    server = Server(program)  # of its own: the others' figures are compared
    wait_for("a window", lambda: server.json("/topz")["window_seconds"] > 0)
    client = Client(server, "a", "top")
    client.run("PUB top.one 3\r\nabc\r\n" * 10)

    def told():
        topz = server.json("/topz")
        return topz if topz["subjects"] else None

    try:
        topz = wait_for("a window with subjects", told)
    finally:
        client.close()
        server.stop()
    first = topz["subjects"][0]
    good = first["subject"] == "top.one" and first["account"] == "A" and "cut" not in first and \
        round(first["msgs_per_second"] * topz["window_seconds"], 3) == 10 and \
        round(first["bytes_per_second"] * topz["window_seconds"], 3) == 30
    return [] if good else ["/topz: %r" % topz]


def check_own(server):
    """What only Myelin has, or has as the newest nats-server."""
    found = []
    _, headers, body = server.get("/varz?callback=cb")
    if not (body.startswith(b"cb({") and body.endswith(b"})") and headers["content-type"] == "application/javascript"):
        found.append("JSONP: %r" % body[:40])
    if server.get("/varz")[1].get("access-control-allow-origin") != "*":
        found.append("no CORS header")
    _, headers, body = server.get("/metrics")
    lines = body.decode().splitlines()
    if not headers["content-type"].startswith("text/plain; version=0.0.4"):
        found.append("/metrics: %r" % headers["content-type"])
    sample = re.compile(r'^[a-z_]+\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\} -?[0-9.e+-]+$')
    found += ["/metrics: %r" % line for line in lines if not line.startswith("# ") and not sample.match(line)]
    values = {line.split("{")[0]: float(line.split(" ")[-1]) for line in lines if line.startswith("gnatsd_varz")}
    varz = server.json("/varz")
    for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes", "connections", "total_connections", "subscriptions"):
        if values["gnatsd_varz_" + key] != varz[key]:
            found.append("/metrics: %s is %s, not %s" % (key, values["gnatsd_varz_" + key], varz[key]))
    found += exporter.differences(server)
    shards = server.json("/shardz")["shards"]
    if [shard["shard"] for shard in shards] != list(range(len(shards))) or sum(
            shard["connections"] for shard in shards) != varz["connections"]:
        found.append("/shardz: %r" % shards)
    found += check_subjects(server.program)
    for target, form in (("/", "text/html"), ("/links", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css"),
                         ("/icon.svg", "image/svg+xml")):
        status, headers, body = server.get(target)
        if status != 200 or not headers["content-type"].startswith(form) or not body or \
                "default-src 'none'" not in headers.get("content-security-policy", ""):
            found.append("%s: status %d, %r" % (target, status, headers))
    return found


def main():
    myelin, references = Server(sys.argv[1]), [Server(program) for program in sys.argv[2:]]
    failed = passed = 0
    clients = []
    try:
        for server in [myelin] + references:
            clients += workload(server)
        results = [("Myelin's rows", check_rows(myelin, True) + check_http(myelin) + check_own(myelin)),
                   ("Myelin's places", check_places(myelin.program)), ("Myelin's pages", check_pages(myelin.program))]
        for reference in references:
            newest = not reference.json("/varz")["version"].startswith("2.9.")
            results.append(("nats-server's rows", check_rows(reference, newest) + check_http(reference)))
            results.append(("nats-server's places", check_places(reference.program)))
            results.append(("compared with %s" % reference.json("/varz")["version"], compare(reference, myelin, newest)))
        for what, found in results:
            print("monitoring: %s: %s" % (what, "as expected" if not found else "%d differences" % len(found)))
            for line in found:
                print("   ", line)
            failed += len(found) > 0
            passed += not found
    finally:
        for server in [myelin] + references:
            server.stop()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
