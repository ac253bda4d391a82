#!/usr/bin/env python3
"""tests/integration/test_system.py MYELIN REFERENCE... - the system account compared with nats-server's.

The same requests and the same comings and goings of clients on Myelin and on each reference (a nats-server): answers and
events are compared key by key, as test_monitoring.py does it with documents over HTTP. Then who may ask, what is not
answered, and, in clusters of Myelin and the references, that all servers answer and know of each other.
"""
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import exporter  # noqa: E402
import test_monitoring as monitoring  # noqa: E402
from cluster_client import Client, Failure, Node, free_ports, pump  # noqa: E402

STARTS = 10  # before a start waited for its services, one client of six found none
CONFIG = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: compared
server_tags: ["region:eu", "zone:1"]
max_payload: 1000
authorization { users: [{user: g, password: g}] }
accounts {
  A {
    users: [{user: a, password: a},
            {user: limited, password: limited, permissions: {publish: {allow: ["$SYS.REQ.>", "x"], deny: "y"},
             subscribe: [">", "q.* group"], allow_responses: {max: 5, expires: "1m"}}}]
    exports: [{service: "svc.a"}, {stream: "st.>"}]
  }
  B { users: [{user: b, password: b}], imports: [{service: {account: A, subject: "svc.a"}, to: "local.svc"}] }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS
"""

# As in test_monitoring: document, path, reason.
NEWER = monitoring.NEWER
INTERNAL = "nats-server counts its own subscriptions and imports; Myelin counts clients' only"
monitoring.DIFFERENCES += [
    ("server", r"^(ver|feature_flags|flags|seq)$", "another program; newer than 2.9"),
    ("statsz", r"^(sent_to_clients|received_from_clients|gomaxprocs)$", NEWER),
    ("statsz", r"^(subscriptions|gomaxprocs)$", INTERNAL),
    ("statsz", r"^sent(_to_clients)?\.bytes$", "of answers of another length"),
    ("varz", r"^out_(client_)?bytes$", "of answers of another length"),
    ("connz?user", r"pending_bytes$", "of a closed one, nats-server sometimes lists what it had not flushed yet"),
    ("connz?filter", r"^total$", "2.9 counts those too that the filter leaves out"),
    ("statz", r"\.(name|num_subscriptions|sent\.(gateways|routes|leafs).*|received\.(gateways|routes|leafs).*)$", NEWER),
    ("statz", r"\.(sent|received)\.", "of answers of another length, and whose import counts them"),
    ("event", r"^(name|num_subscriptions|client\.name_tag|(sent|received)\.(gateways|routes|leafs).*)$", NEWER),
    ("event", r"^client\.rtt$", "Myelin does not take the time to CONNECT for a round trip"),
    ("whole", r"^name_tag$", NEWER),
    ("expvarz", r"^(memstats|cmdline)", "another program's"),
    ("subsz", r"^subscriptions_list$", INTERNAL),
    ("ipqueuesz", r"^System recvQ$", "the request itself stands in that queue; Myelin has none by that name"),
]
monitoring.VOLATILE += [
    (r"(^|\.)(time|timestamp)$", monitoring.TIME),
    (r"(^|\.)id$", None),
]


class Place:
    """What cluster_client's Client wants of a server."""

    def __init__(self, port):
        self.port = port


class Asker(Client):
    """A client that sends requests."""

    asked = 0

    def ask(self, subject, body=b"", header=None):
        """Sends it; the inbox by which answers() finds what comes."""
        Asker.asked += 1
        inbox = "_INBOX.%d" % Asker.asked
        self.subscribe(inbox)
        self.publish(subject, body.encode() if isinstance(body, str) else body, inbox, header)
        return inbox

    def answers(self, inbox):
        return [message for message in self.messages if message.subject == inbox]

    def request(self, subject, body=b"", header=None, count=1):
        inbox = self.ask(subject, body, header)
        pump([self], lambda: len(self.answers(inbox)) >= count)
        return self.answers(inbox)

    def json(self, subject, body=b""):
        return json.loads(self.request(subject, body)[0].body)

    def silent(self, subject, body=b""):
        """Whether there is no answer; what is asked behind it has been answered."""
        inbox = self.ask(subject, body)
        self.request("$SYS.REQ.SERVER.PING.IDZ")
        self.request("$SYS.REQ.SERVER.PING.VARZ")
        return not self.answers(inbox)


def connect(server, user):
    return Asker(Place(server.client_port), user)


def number_of(client):
    return json.loads(client.infos[0].split(b" ", 1)[1])["client_id"]


# ---- answers ----

# subject ("ID" is the server's id), body, what its data is compared as; "whole": the answer itself
REQUESTS = [
    ("SERVER.PING", "", "statsz"), ("SERVER.PING.STATSZ", "", "statsz"), ("SERVER.ID.STATSZ", "", "statsz"),
    ("SERVER.PING.VARZ", "", "varz"), ("SERVER.ID.VARZ", '{"server_name": "comp"}', "varz"),
    ("SERVER.PING.CONNZ", '{"acc": "A", "auth": true, "subscriptions_detail": true}', "connz"),
    ("SERVER.PING.CONNZ", '{"state": 1, "auth": true, "user": "a"}', "connz?user"),
    ("SERVER.ID.CONNZ", '{"acc": "A", "limit": 1, "offset": 1, "sort": "subs", "subscriptions": true}', "connz"),
    ("SERVER.PING.CONNZ", '{"acc": "NOPE"}', "connz"), ("ACCOUNT.A.CONNZ", '{"filter_subject": "foo.*"}', "connz?filter"),
    ("ACCOUNT.A.CONNZ", '{"filter_subject": "nothing"}', "connz?filter"), ("ACCOUNT.A.CONNZ", '{"filter_subject": ">"}', "connz?filter"), ("ACCOUNT.A.CONNZ", "", "connz"),
    ("ACCOUNT.A.CONNZ", '{"acc": "B"}', "connz"), ("ACCOUNT.PING.CONNZ", "", "connz"),
    ("SERVER.PING.SUBSZ", "", "subsz"), ("ACCOUNT.B.SUBSZ", "", "subsz"), ("SERVER.PING.ROUTEZ", "", "routez"),
    ("SERVER.PING.GATEWAYZ", "", "gatewayz"), ("SERVER.PING.LEAFZ", "", "leafz"), ("ACCOUNT.A.LEAFZ", "", "leafz"),
    ("SERVER.PING.ACCOUNTZ", "", "accountz"), ("SERVER.PING.ACCOUNTZ", '{"account": "A"}', "accountz?acc=A"),
    ("ACCOUNT.A.INFO", "", "account_detail"), ("ACCOUNT.A.STATZ", "", "statz"), ("ACCOUNT.PING.STATZ", "", "statz"),
    ("ACCOUNT.PING.STATZ", '{"accounts": ["A"]}', "statz"), ("ACCOUNT.B.STATZ", '{"include_unused": true}', "statz"),
    ("ACCOUNT.PING.STATZ", '{"accounts": ["B", "NOPE", "A", "B"], "include_unused": true}', "statz"),
    ("SERVER.PING.JSZ", "", "jsz"),
    # refused
    ("SERVER.PING.CONNZ", "{bad", "error 400"), ("SERVER.PING.CONNZ", '{"state": "closed"}', "error 400"),
    ("SERVER.PING.CONNZ", '{"limit": "x"}', "error 400"), ("SERVER.PING.CONNZ", "[]", "error 400"),
    ("SERVER.PING.STATSZ", "{bad", "error 400"), ("SERVER.PING.CONNZ", '{"sort": "bad"}', "error 500"),
    ("SERVER.PING.CONNZ", '{"sort": "stop"}', "error 500"), ("SERVER.PING.ACCOUNTZ", '{"account": "NOPE"}', "error 500"),
    ("SERVER.PING.CONNZ", '{"filter_subject": "foo"}', "error 500"), ("ACCOUNT.NOPE.INFO", "", "error 500"),
    ("ACCOUNT.A.JSZ", "", "error 500"), ("SERVER.PING.SUBSZ", '{"test": "foo.*"}', "error 500"),
    # an event as the answer
    ("ACCOUNT.A.CONNS", "", "event"), ("ACCOUNT.A.CONNS", '{"acc": "A"}', "event"),
]
# Since 2.10.
NEWER_REQUESTS = [
    ("SERVER.PING.IDZ", "", "whole"), ("SERVER.ID.IDZ", "", "whole"), ("SERVER.PING.HEALTHZ", "", "healthz"),
    ("SERVER.PING.HEALTHZ", '{"stream": "S", "details": true}', "healthz"), ("SERVER.PING.HEALTHZ", '{"stream": "S"}', "healthz"),
    ("SERVER.PING.HEALTHZ", '{"js-server-only": true}', "healthz"), ("SERVER.PING.EXPVARZ", "", "expvarz"),
    ("SERVER.PING.IPQUEUESZ", "", "ipqueuesz"), ("SERVER.ID.IPQUEUESZ", '{"all": true, "filter": "nope"}', "ipqueuesz"),
    ("SERVER.PING.IPQUEUESZ", "{bad", "error 400"),
    ("SERVER.PING.RAFTZ", "", "raftz"), ("SERVER.PING.PROFILEZ", '{"name": "x"}', "profilez"),
    ("USER.INFO", "", "user"), ("SERVER.ID.KICK", '{"cid": 999}', "error 500"),
    ("SERVER.ID.LDM", '{"cid": 999}', "error 500"), ("SERVER.ID.RELOAD", "", "done"),
]
# nats-server counts what it has read when all of it has been worked on.
LATE = r" (received(_from_clients)?\.(msgs|bytes)|in_(client_)?(msgs|bytes)): "
# Neither is there an answer.
SILENT = [
    ("SERVER.PING.VARZ", '{"server_name": "nope"}'), ("SERVER.PING.STATSZ", '{"tags": ["x"]}'),
    ("SERVER.PING.STATSZ", '{"cluster": "x"}'), ("SERVER.PING.VARZ", '{"host": "10."}'),
    ("SERVER.PING.VARZ", '{"domain": "x"}'), ("SERVER.PING.IPQUEUESZ", '{"server_name": "nope"}'), ("ACCOUNT.$G.STATZ", ""), ("ACCOUNT.$G.CONNS", ""),
    ("ACCOUNT.A.CONNS", '{"acc": "B"}'),
]


def compare_value(document, reference, own, ordered):
    comparison = monitoring.Comparison("/" + document, ordered)
    comparison.values("", monitoring.without_internal("/" + document, reference),
                      monitoring.without_internal("/" + document, own))
    return comparison.found


def sorted_statz(value):
    if "account_statz" in value:
        value["account_statz"].sort(key=lambda account: account["acc"])
    return value


def by_local_subject(detail):
    """What an account imports, that of the system account too."""
    return sorted(detail["imports"], key=lambda one: one["local_subject"])


def compare_answer(kind, reference, own, ordered):
    """Both are answers as parsed."""
    if kind == "whole":
        return compare_value(kind, reference, own, ordered)
    found = compare_value("server", reference.pop("server"), own.pop("server"), False)
    if kind == "event":
        return found + compare_value(kind, reference, own, ordered)
    if kind.startswith("error"):
        if reference["error"]["code"] != own["error"]["code"] or reference.keys() != own.keys():
            found.append("%r, Myelin has %r" % (reference, own))
        if kind == "error 500" and reference["error"] != own["error"]:
            found.append("%r, Myelin has %r" % (reference["error"], own["error"]))
        return found
    if list(reference) != list(own):
        return found + ["members %s, Myelin has %s" % (list(reference), list(own))]
    if kind == "account_detail":
        if ordered and by_local_subject(reference["data"]) != by_local_subject(own["data"]):
            found.append("imports %r, Myelin has %r" % (reference["data"]["imports"], own["data"]["imports"]))
        reference, own = [{"data": {"account_detail": value["data"]}} for value in (reference, own)]
        kind = "accountz?acc"
    for key in reference:
        found += compare_value(kind, sorted_statz(reference[key]), sorted_statz(own[key]), ordered)
    return found


def compare_answers(reference, myelin, newest):
    found = []
    clients = [client for server in (reference, myelin) for client in monitoring.workload(server)]
    theirs, ours = [(server, connect(server, "s"), server.json("/varz")["server_id"]) for server in (reference, myelin)]
    for subject, body, kind in REQUESTS + (NEWER_REQUESTS if newest else []):
        answers = [asker.json("$SYS.REQ." + subject.replace("ID", server_id) if "IDZ" not in subject else
                              "$SYS.REQ." + subject.replace(".ID.", ".%s." % server_id), body)
                   for _, asker, server_id in (theirs, ours)]
        found += ["%s %s: %s" % (subject, body, line) for line in compare_answer(kind, *answers, newest)
                  if not re.search(LATE, line)]
    for subject, body in SILENT:
        for server, asker, server_id in (theirs, ours):
            if not asker.silent("$SYS.REQ." + subject, body) and (newest or server is myelin):
                found.append("%s %s is answered by %s" % (subject, body, server.program))
    for client in clients:
        client.close()
    for _, asker, _ in (theirs, ours):
        asker.close()
    return found + ["of the reference: " + line for line in
                    check_users(reference, newest) + (check_wrong_logins(reference) if newest else [])]


# ---- events ----

def parsed(message, server_id):
    return message.subject.replace(server_id, "ID"), json.loads(message.body)


class Watch:
    """A client of the system account that sees all events."""

    def __init__(self, server):
        self.client = connect(server, "s")
        self.server_id = server.json("/varz")["server_id"]
        for subject in ("$SYS.ACCOUNT.>", "$SYS.SERVER.>"):
            self.client.subscribe(subject)
        self.client.flush()

    def events(self):
        return [parsed(message, self.server_id) for message in self.client.messages]

    def wait(self, *subjects):
        """Until one of each has come; those that came, as a list, and they are forgotten."""
        pump([self.client], lambda: set(subjects) <= {subject for subject, _ in self.events()})
        self.client.flush()
        found, self.client.messages = self.events(), []
        return found


def conns(account):
    return ["$SYS.SERVER.ACCOUNT.%s.CONNS" % account, "$SYS.ACCOUNT.%s.SERVER.CONNS" % account]


def happenings(server, strangers_tail):
    """What is published while clients come and go, step by step."""
    steps = []
    watch = Watch(server)
    client = connect(server, "a")
    client.subscribe("foo")
    client.publish("foo", b"hello")
    client.flush()
    steps.append(watch.wait("$SYS.ACCOUNT.A.CONNECT", *conns("A")))
    client.close()
    steps.append(watch.wait("$SYS.ACCOUNT.A.DISCONNECT", *conns("A")))
    monitoring.Client(server, "wrong", "intruder").until_closed()
    steps.append(watch.wait("$SYS.SERVER.ID.CLIENT.AUTH.ERR", *strangers_tail))
    monitoring.Client(server, "a", "thief", **monitoring.WRONG).until_closed()  # it is in A as little as the intruder
    steps.append(watch.wait("$SYS.SERVER.ID.CLIENT.AUTH.ERR", *strangers_tail))
    watch.client.publish("$SYS.REQ.SERVER.PING", b"")
    steps.append(watch.wait("$SYS.SERVER.ID.STATSZ"))
    watch.client.close()
    return steps


def compare_happenings(reference, myelin, newest):
    """Of each step: the same subjects, and events of each with the same members."""
    found = []
    tail = ["$SYS.ACCOUNT.$G.DISCONNECT"]  # 2.9 tells nobody of $G
    for theirs, ours in zip(happenings(reference, tail if newest else []), happenings(myelin, tail)):
        subjects = [{subject for subject, _ in events
                     if (newest or ".$G." not in subject) and ".SYS." not in subject} for events in (theirs, ours)]
        if subjects[0] - {"$SYS.SERVER.ID.STATSZ"} != subjects[1] - {"$SYS.SERVER.ID.STATSZ"}:
            found.append("events on %s, Myelin has %s" % (sorted(subjects[0]), sorted(subjects[1])))
        for subject in subjects[0] & subjects[1]:
            reference_event, own = (dict([pair for pair in events if pair[0] == subject][-1][1]) for events in (theirs, ours))
            found += compare_value("server", reference_event.pop("server"), own.pop("server"), False)
            kind = "statsz" if subject.endswith("STATSZ") else "event"
            if kind == "statsz":
                reference_event, own = reference_event["statsz"], own["statsz"]
            found += ["event %s: %s" % (subject, line) for line in compare_value(kind, reference_event, own, newest)
                      if not re.search(r"(sent|received)(_to_clients|_from_clients)?\.(msgs|bytes)|(total_)?connections|active_accounts", line)]
    return found


# ---- what only one server is asked ----

def sorted_lists(permissions):
    """nats-server writes them in any order."""
    return {name: {key: sorted(value) if isinstance(value, list) else value for key, value in part.items()}
            for name, part in (permissions or {}).items()}


def check_users(server, newest):
    """Who may ask what. Any server has to pass it."""
    found = []

    def expect(what, good):
        if not good:
            found.append("users: " + what)

    user, other, system = connect(server, "a"), connect(server, "b"), connect(server, "s")
    for subject in ("$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"):
        shown = user.json(subject, '{"acc": "B", "auth": true}')["data"]["connections"]
        expect(subject + " shows the own account only", {one["account"] for one in shown} == {"A"})
    shown = user.json("$SYS.REQ.ACCOUNT.PING.STATZ")["data"]["account_statz"]
    expect("STATZ likewise", [one["acc"] for one in shown] == ["A"])
    for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.ACCOUNT.A.CONNZ", "$SYS.REQ.ACCOUNT.A.INFO"):
        answer = user.request(subject)[0]
        expect(subject + " is for the system account", (answer.header or b"").startswith(b"NATS/1.0 503"))
    if newest:
        limited = connect(server, "limited")
        expect("who it is", user.json("$SYS.REQ.USER.INFO")["data"] == {"user": "a", "account": "A", "account_name": "A"})
        expect("in the system account too", system.json("$SYS.REQ.USER.INFO")["data"]["user"] == "s")
        expect("what it may do: %s" % limited.json("$SYS.REQ.USER.INFO")["data"],
               sorted_lists(limited.json("$SYS.REQ.USER.INFO")["data"].get("permissions")) ==
               {"publish": {"allow": ["$SYS.REQ.>", "x"], "deny": ["y"]}, "subscribe": {"allow": [">", "q.* group"]},
                "responses": {"max": 5, "ttl": 60000000000}})
        limited.close()
    header = b"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
    answer = system.request("$SYS.REQ.SERVER.PING.ACCOUNTZ", b"", header)[0]
    expect("gzip", b"Content-Encoding: gzip" in answer.header and
           "A" in json.loads(gzip.decompress(answer.body))["data"]["accounts"])
    answer = system.request("$SYS.REQ.SERVER.PING.ACCOUNTZ", b"", b"NATS/1.0\r\nAccept-Encoding: gzip, s2\r\n\r\n")[0]
    expect("snappy", b"Content-Encoding: snappy" in answer.header and answer.body.startswith(b"\xff\x06\0\0sNaPpY"))
    answer = system.request("$SYS.REQ.SERVER.PING.ACCOUNTZ", b"", b"NATS/1.0\r\nAccept-Encoding: br\r\n\r\n")[0]
    expect("another encoding", b"Content-Encoding: identity" in answer.header and b'"accounts"' in answer.body)
    for client in (user, other, system):
        client.close()
    return found


PROXIED = CONFIG.replace("{user: g, password: g}", "{user: g, password: g}, {user: p, password: p, proxy_required: true}")
REFUSED = "Authentication Failure"


def check_wrong_logins(server, more=()):
    """Who only names a user is not in his account: that is told where he was, in $G. For nats-server since 2.10."""
    found, watch = [], Watch(server)
    inside = {account: connect(server, user) for account, user in (("$G", "g"), ("A", "a"), ("B", "b"))}
    for client in inside.values():
        client.subscribe("$SYS.ACCOUNT.CLIENT.AUTH.ERR")
        client.flush()
    watch.client.flush()
    watch.client.messages = []
    for count, (user, reason) in enumerate([("a", REFUSED), ("b", REFUSED), ("wrong", REFUSED), *more], 1):
        monitoring.Client(server, user, "thief", **monitoring.WRONG).until_closed()
        pump([inside["$G"]], lambda: len(inside["$G"].messages) >= count)
        events = watch.wait("$SYS.SERVER.ID.CLIENT.AUTH.ERR", "$SYS.ACCOUNT.$G.DISCONNECT")
        events += [parsed(message, watch.server_id) for message in inside["$G"].messages[count - 1:]]
        shown = sorted((subject, event["client"]["acc"], event["client"]["user"], event["reason"]) for subject, event in events)
        if shown != [(subject, "$G", user, reason) for subject in (
                "$SYS.ACCOUNT.$G.DISCONNECT", "$SYS.ACCOUNT.CLIENT.AUTH.ERR", "$SYS.SERVER.ID.CLIENT.AUTH.ERR")]:
            found.append("wrong login of %s: %s" % (user, shown))
    for account in ("A", "B"):
        inside[account].flush()
        if inside[account].messages:
            found.append("wrong logins: %s is told %s" % (account, inside[account].messages))
    for client in (watch.client, *inside.values()):
        client.close()
    return found


def check_orders(server):
    """A client is told to go elsewhere, then kicked; the configuration is read again, or refused."""
    found = []

    def expect(what, good):
        if not good:
            found.append("orders: " + what)

    system, watch, victim = connect(server, "s"), Watch(server), connect(server, "b")
    here = "$SYS.REQ.SERVER.%s." % watch.server_id
    order = '{"cid": %d}' % number_of(victim)
    expect("LDM is done", list(system.json(here + "LDM", order)) == ["server"])
    pump([victim], lambda: b'"ldm":true' in victim.info)
    expect("KICK is done", list(system.json(here + "KICK", order)) == ["server"])
    pump([victim], lambda: victim.closed)
    events = dict(watch.wait("$SYS.ACCOUNT.B.DISCONNECT"))
    expect("its end is an event", events["$SYS.ACCOUNT.B.DISCONNECT"]["reason"] == "Kicked")
    expect("it is gone", "error" in system.json(here + "KICK", order))
    expect("RELOAD is done", list(system.json(here + "RELOAD")) == ["server"])
    path = os.path.join(server.folder.name, "compared.conf")
    with open(path, "a", encoding="ascii") as file:
        file.write("\nno_such_option: 1\n")
    answer = system.json(here + "RELOAD")
    expect("RELOAD of what is wrong is refused: %s" % answer, answer.get("error", {}).get("code") == 500)
    numbers = [json.loads(message.body)["server"]["seq"] for message in system.messages if b'"server"' in message.body]
    expect("numbers grow", numbers == sorted(set(numbers)))
    for client in (system, watch.client):
        client.close()
    return found


CROWD = 300


def check_storm(program):
    """Many clients at once, over several shards: each is an event, and the account's last one is true."""
    found = []
    server = monitoring.Server(program, CONFIG.replace("server_tags", "shards: 3\nserver_tags"))
    try:
        watch = Watch(server)
        clients = [connect(server, "a") for _ in range(CROWD)]

        def shown():
            counts = [event["conns"] for subject, event in watch.events() if subject == conns("A")[1]]
            return counts[-1:]

        pump([watch.client], lambda: shown() == [CROWD])
        pump([watch.client], lambda: sum(s == "$SYS.ACCOUNT.A.CONNECT" for s, _ in watch.events()) >= CROWD)
        for client in clients:
            client.close()
        pump([watch.client], lambda: shown() == [0])
        pump([watch.client], lambda: sum(s == "$SYS.ACCOUNT.A.DISCONNECT" for s, _ in watch.events()) >= CROWD)
        ids = [event["client"]["id"] for subject, event in watch.events() if subject.endswith(".A.DISCONNECT")]
        if len(ids) != CROWD or len(set(ids)) != CROWD:
            found.append("storm: %d events of %d ends" % (len(ids), CROWD))
        varz = watch.client.json("$SYS.REQ.SERVER.PING.STATSZ")["statsz"]
        if varz["connections"] != 1 or varz["total_connections"] != CROWD + 1:
            found.append("storm: %r" % varz)
        # What others are told of a server changes by a reload, and they are told.
        path = os.path.join(server.folder.name, "compared.conf")
        with open(path, "a", encoding="ascii") as file:
            file.write('\nserver_metadata { rack: "7", row: b }\n')
        server.process.send_signal(signal.SIGHUP)

        def told():
            return [event["server"].get("metadata") for subject, event in watch.events() if subject.endswith(".STATSZ")]

        pump([watch.client], lambda: {"rack": "7", "row": "b"} in told())
        watch.client.close()
    finally:
        server.stop()
    return found


# ---- clusters ----

def check_start(program):
    """Who is there as soon as the server listens, on any shard, finds its services."""
    found, config = [], tempfile.NamedTemporaryFile("w", suffix=".conf")
    config.write("accounts { SYS { users: [{user: s, password: s}] } }\nsystem_account: SYS\nshards: 3\n")
    config.flush()
    for _ in range(STARTS):
        port = free_ports(1)[0]
        server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port), "-c", config.name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        clients, end = [], time.monotonic() + monitoring.PATIENCE_SECONDS
        while len(clients) < 3 and server.poll() is None and time.monotonic() < end:
            try:
                clients.append(socket.create_connection(("127.0.0.1", port), timeout=monitoring.PATIENCE_SECONDS))
            except ConnectionRefusedError:
                pass
        if len(clients) < 3:
            found.append("no start: %r" % server.poll())
        for client in clients:
            client.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"user":"s","pass":"s"}\r\n'
                           b"SUB r 1\r\nPUB $SYS.REQ.SERVER.PING.IDZ r 0\r\n\r\n")
        for client in clients:
            said = b""
            while b'"id":"N' not in said and b" 503" not in said and (more := client.recv(4096)):
                said += more
            if b'"id":"N' not in said:
                found.append("a start: %r" % said[-100:])
            client.close()
        server.terminate()
        server.wait(monitoring.PATIENCE_SECONDS)
    return found


ACCOUNTS = """
accounts {
    APP { users = [ {user: app, password: app} ] }
    LIMITED { users = [ {user: lim, password: lim} ], limits { max_connections: 2 } }
    SYS { users = [ {user: sys, password: sys} ] }
}
system_account: SYS
"""


def answers_of_all(asker, subject, count, good=lambda answer: True):
    """Asks until `count` servers answer as they should; their answers by server name."""
    state = {"inbox": None}

    def again():
        state["inbox"] = asker.ask(subject)

    def now():
        answers = [json.loads(message.body) for message in asker.answers(state["inbox"])] if state["inbox"] else []
        return {answer["server"]["name"]: answer for answer in answers}

    pump([asker], lambda: len(now()) == count and all(good(answer) for answer in now().values()), again, 0.3)
    return now()


def knock(node):
    """A client of the account with a limit; None: it is refused."""
    client, said = socket.create_connection(("127.0.0.1", node.port), timeout=monitoring.PATIENCE_SECONDS), b""
    client.sendall(b'CONNECT {"verbose":false,"user":"lim","pass":"lim"}\r\nPING\r\n')
    try:
        while b"PONG" not in said and (more := client.recv(4096)):
            said += more
    except ConnectionResetError:
        pass
    if b"PONG" in said:
        return client
    client.close()
    if b"maximum account active connections exceeded" not in said:
        raise Failure("%s refuses with %r" % (node.name, said[-200:]))
    return None


def counts_known(nodes, askers, ids, name, count):
    """Waits until all servers have heard that this one has so many clients of that account, and have acted on it: then
    what they are asked afterwards is answered."""
    def last(asker):
        events = [json.loads(m.body) for m in asker.messages if m.subject == "$SYS.SERVER.ACCOUNT.LIMITED.CONNS"]
        return [event["conns"] for event in events if event["server"]["name"] == name][-1:]

    pump(askers, lambda: all(last(asker) == [count] for asker in askers))
    for node, asker in zip(nodes, askers):
        asker.json("$SYS.REQ.SERVER.%s.VARZ" % ids[node.name])


def check_limit(nodes, askers, ids):
    """An account's max_connections holds over all servers: what is wrong; and clients of the last one, as many as may be."""
    found, first, second, last = [], nodes[0], nodes[1], nodes[-1]

    def expect(node, good, what):
        client = knock(node)
        if (client is not None) != good:
            found.append("limit: %s %s a client: %s" % (node.name, "refuses" if good else "lets in", what))
        return client

    for asker in askers:
        asker.subscribe("$SYS.SERVER.ACCOUNT.LIMITED.CONNS")
        asker.flush()
    clients = [expect(first, True, "the first ones") for _ in range(2)]
    counts_known(nodes, askers, ids, first.name, 2)
    for node in (second, last, first):
        expect(node, False, "%s has two" % first.name)
    clients.pop().close()
    counts_known(nodes, askers, ids, first.name, 1)
    clients.append(expect(second, True, "one has gone"))
    counts_known(nodes, askers, ids, second.name, 1)
    for node in nodes:
        expect(node, False, "two servers have one each")
    for node, client in zip((first, second), clients):
        client.close()
        counts_known(nodes, askers, ids, node.name, 0)
    clients = [expect(last, True, "all have gone") for _ in range(2)]
    counts_known(nodes, askers, ids, last.name, 2)
    expect(first, False, "%s has two" % last.name)
    return found, clients


def check_surplus(nodes, askers, ids):
    """Two servers let somebody in at the same time: as soon as one hears of it, it closes its own newest."""
    clients = [knock(nodes[0]) for _ in range(2)]
    event = {"server": {"name": nodes[1].name, "id": ids[nodes[1].name]}, "acc": "LIMITED", "conns": 1}
    askers[0].publish("$SYS.SERVER.ACCOUNT.LIMITED.CONNS", json.dumps(event).encode())
    said = b""
    while more := clients[1].recv(4096):
        said += more
    clients[0].sendall(b"PING\r\n")
    if b"maximum account active connections exceeded" not in said or clients[0].recv(4096) != b"PONG\r\n":
        return ["limit: not the newest is closed: %r" % said]
    return []


def check_new(nodes, askers, new):
    """A server that is new asks who has clients of accounts with a limit, and does not wait until it is told."""
    found, second, asker = [], nodes[1], askers[1]
    ids = {node.name: asker.json("$SYS.REQ.SERVER.PING.IDZ")["id"] for node, asker in zip(nodes, askers)}
    clients = [knock(second) for _ in range(2)]
    counts_known(nodes, askers, ids, second.name, 2)
    for subject in ("$SYS.SERVER.*.STATSZ", "$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS._INBOX.*.CONNS.ALL"):
        asker.subscribe(subject)
    asker.flush()
    nodes.append(new)
    new.start()

    def told():
        """Its id and what it is told since it said that it knows all: before, it takes no answer of some."""
        bodies = [(message.subject.split("."), json.loads(message.body)) for message in asker.messages]
        beats = [body["server"] for words, body in bodies if words[-1] == "STATSZ" and body["server"]["name"] == new.name and
                 body["statsz"]["active_servers"] == len(nodes)]
        return [(beats[0]["id"], [(one["acc"], one["conns"]) for one in body["data"]["account_statz"]]) for words, body in bodies
                if beats and words[2:] == [beats[0]["id"], "CONNS", "ALL"] and body["server"]["name"] == second.name and
                body["server"]["time"].rstrip("Z") > beats[0]["time"].rstrip("Z")]

    pump([asker], told)
    own, counts = told()[0]
    for server_id in (ids[second.name], own):  # whose answers come behind that one
        asker.json("$SYS.REQ.SERVER.%s.VARZ" % server_id)
    asked = [message.body for message in asker.messages if message.reply == "$SYS._INBOX.%s.CONNS.ALL" % own]
    if set(asked) != {b'{"accounts":["LIMITED"]}'} or counts != [("LIMITED", 2)]:
        found.append("new: it asks %s and is told %s" % (asked, counts))
    if knock(new) is not None:
        found.append("new: it lets in a third client of two")
    for client in clients:
        client.close()
    counts_known(nodes[:-1], askers, ids, second.name, 0)
    return found


def check_cluster(programs):
    """All servers answer a PING and know of each other; users see their account on all of them."""
    found = []

    def expect(what, good):
        if not good:
            found.append("cluster: " + what)

    ports = free_ports(2 * len(programs))
    nodes = [Node(program, "n%d" % i, ports[2 * i], ports[2 * i + 1],
                  ["--shards", "2"] if "myelin" in os.path.basename(program) else [], accounts=ACCOUNTS)
             for i, program in enumerate(programs)]
    count = len(nodes)
    try:
        for node in nodes:
            node.routes = [other.cluster_port for other in nodes if other is not node]
            node.start()
        askers = [Asker(node, "sys") for node in nodes]
        for asker in askers:
            pinged = answers_of_all(asker, "$SYS.REQ.SERVER.PING", count, lambda a: a["statsz"]["active_servers"] == count)
            expect("their cluster", {answer["server"]["cluster"] for answer in pinged.values()} == {"C"})
        ids = {name: answer["server"]["id"] for name, answer in pinged.items()}
        for asker in askers:
            for name, server_id in ids.items():
                answer = asker.json("$SYS.REQ.SERVER.%s.VARZ" % server_id)
                expect("one is asked from anywhere", answer["data"]["server_name"] == name)
            answers_of_all(asker, "$SYS.REQ.SERVER.PING.VARZ", count)

        askers[0].subscribe("$SYS.ACCOUNT.APP.CONNECT")
        askers[0].flush()
        answers_of_all(askers[0], "$SYS.REQ.SERVER.PING", count)  # the subscription is known everywhere: it was before these
        users = [Asker(node, "app") for node in nodes]
        pump([askers[0]], lambda: {json.loads(message.body)["server"]["name"] for message in askers[0].messages
                                   if message.subject == "$SYS.ACCOUNT.APP.CONNECT"} == set(ids))
        for user in users:
            shown = answers_of_all(user, "$SYS.REQ.ACCOUNT.PING.STATZ", count)
            expect("a user sees its account on all", all(
                [one["acc"] for one in answer["data"]["account_statz"]] == ["APP"] for answer in shown.values()))
        for node, user in zip(nodes, users):
            if node.ours:
                inbox = user.ask("$SYS.REQ.USER.INFO")
                pump([user], lambda: user.answers(inbox))
                answers_of_all(user, "$SYS.REQ.ACCOUNT.PING.STATZ", count)
                infos = [json.loads(message.body) for message in user.answers(inbox)]
                expect("only its own server knows a user", [info["server"]["name"] for info in infos] == [node.name])

        wrong, clients = check_limit(nodes, askers, ids)
        found += wrong
        askers[0].subscribe("$SYS.SERVER.*.SHUTDOWN")
        askers[0].flush()
        askers[0].messages = []
        last = nodes.pop()
        askers.pop().close()
        last.stop(signal.SIGTERM)
        pump([askers[0]], lambda: any(message.subject == "$SYS.SERVER.%s.SHUTDOWN" % ids[last.name]
                                      for message in askers[0].messages))
        for asker in askers:
            answers_of_all(asker, "$SYS.REQ.SERVER.PING", count - 1, lambda a: a["statsz"]["active_servers"] == count - 1)
        if last.ours:
            found += check_new(nodes, askers, last)
        if nodes[0].ours and nodes[1].ours:
            found += check_surplus(nodes, askers, ids)
        else:
            expect("the clients of a server that has gone do not count", knock(nodes[0]) is not None)
    except Failure as error:
        found.append("cluster of %s: %s" % (programs, error))
    finally:
        for node in nodes:
            code = node.stop(signal.SIGINT)
            if code not in (0, 1):  # of a sanitizer
                found.append("cluster: %s ended with %d: %s" % (node.name, code, node.said()[-4000:]))
    return found


GATEWAYS = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: g%d
%s
gateway { name: G%d, listen: "127.0.0.1:%d", gateways: [ {name: G0, url: "nats://127.0.0.1:%d"}, {name: G1, url: "nats://127.0.0.1:%d"} ] }
"""


WAYS = ("out_msgs", "out_bytes", "in_msgs", "in_bytes")


def check_totals(server, asker):
    """What the server says of all messages is what it says of its connections, of clients and of gateways. The servers
    talk to each other meanwhile: it has to be so once."""
    shown = {}

    def same():
        gatewayz = server.json("/gatewayz")
        connections = server.json("/connz")["connections"]
        connections += [one["connection"] for one in gatewayz["outbound_gateways"].values()]
        connections += [one["connection"] for them in gatewayz["inbound_gateways"].values() for one in them]
        varz = server.json("/varz")
        shown["connections"] = [sum(one[way] for one in connections) for way in WAYS]
        shown["varz"] = [varz[way] for way in WAYS]
        shown["metrics"] = exporter.differences(server) if "myelin" in os.path.basename(server.program) else []
        statsz = asker.json("$SYS.REQ.SERVER.%s.STATSZ" % varz["server_id"])["statsz"]
        question = statsz["received"]["msgs"] - varz["in_msgs"] == 1  # 2.9 counts it when it has been answered
        shown["statsz"] = [statsz["sent"]["msgs"], statsz["sent"]["bytes"],
                           statsz["received"]["msgs"] - question, statsz["received"]["bytes"]]
        return shown["connections"] == shown["varz"] == shown["statsz"] and not shown["metrics"]

    try:
        monitoring.wait_for("counts agree", same)
    except RuntimeError as error:
        raise Failure("%s: %s" % (error, shown)) from error


def check_crossing(servers, askers):
    """Messages of an account go from one cluster to the other, of one size there and of another back, and are counted by
    both servers, for the server and for the account. nats-server 2.9 does not know where an account's came from."""
    sizes, published = (5, 700), [0, 0]
    clients = [Asker(Place(server.client_port), "app") for server in servers]
    for i, client in enumerate(clients):
        client.subscribe("to.%d" % i)
        client.flush()
        askers[i].subscribe("$SYS.ACCOUNT.APP.SERVER.CONNS")
        askers[i].flush()
    for i, client in enumerate(clients):
        other = clients[1 - i]

        def send():
            published[i] += 1
            client.publish("to.%d" % (1 - i), b"x" * sizes[i])

        pump(clients, lambda: other.messages, send)  # until what is wanted is known here
        for _ in range(10):
            send()
        client.publish("to.%d" % (1 - i), b"last!" if i == 0 else b"last!" * (sizes[i] // 5))
        published[i] += 1
        pump(clients, lambda: b"last!" in other.messages[-1].body)
    for i, server in enumerate(servers):
        went, came = len(clients[1 - i].messages), len(clients[i].messages)
        one_more = Asker(Place(server.client_port), "app")

        def told():
            events = [json.loads(m.body) for m in askers[i].messages if m.subject == "$SYS.ACCOUNT.APP.SERVER.CONNS"]
            return [event for event in events if (event["server"]["name"], event["conns"]) == ("g%d" % i, 2)]

        pump([askers[i], one_more], told)
        statz = {one["acc"]: one for one in server.json("/accstatz")["account_statz"]}["APP"]
        crossed = {"sent": (went, went * sizes[i]), "received": (came, came * sizes[1 - i])}
        here = {"sent": crossed["received"], "received": (published[i], published[i] * sizes[i])}  # by the client
        newer = "gateways" in statz["sent"]
        for document in statz, told()[-1]:
            for way in "sent", "received":
                by_gateways = crossed[way] if newer or way == "sent" else (0, 0)
                expected = {"msgs": here[way][0] + by_gateways[0], "bytes": here[way][1] + by_gateways[1]}
                if newer:
                    none = {"msgs": 0, "bytes": 0}
                    expected |= {"gateways": dict(zip(("msgs", "bytes"), by_gateways)), "routes": none, "leafs": none}
                if document[way] != expected:
                    raise Failure("g%d, %s: %s, not %s" % (i, way, document, expected))
        check_totals(server, askers[i])


def check_gateways(programs):
    """Two clusters of a server each, which has no routes: they know of each other, and say so."""
    found, ports, servers = [], free_ports(2), []

    def good(answer):
        own = int(answer["server"]["name"][1:])
        told = [(one["name"], one["inbound_connections"]) for one in answer["statsz"].get("gateways", [])]
        return answer["server"]["cluster"] == "G%d" % own and answer["statsz"]["active_servers"] == 2 and \
            told == [("G%d" % (1 - own), 1)] and answer["statsz"]["gateways"][0]["sent"]["msgs"] > 0

    try:
        for i, program in enumerate(programs):
            servers.append(monitoring.Server(program, GATEWAYS % (i, ACCOUNTS, i, ports[i], *ports)))
        askers = [Asker(Place(server.client_port), "sys") for server in servers]
        for asker in askers:
            answers_of_all(asker, "$SYS.REQ.SERVER.PING", 2, good)
        for i, server in enumerate(servers):
            cluster = server.json("/varz")["cluster"]
            info = json.loads(askers[i].infos[0].split(b" ", 1)[1])
            if cluster != {"name": "G%d" % i} or info["cluster"] != "G%d" % i:
                found.append("gateways: %s names %r, INFO %r" % (server.program, cluster, info.get("cluster")))
        check_crossing(servers, askers)
    except Failure as error:
        found.append("gateways of %s: %s" % (programs, error))
    finally:
        for server in servers:
            server.stop()
    return found


def clusters(myelin, references):
    yield [myelin, myelin, myelin]
    for reference in references:
        yield [myelin, reference, myelin]
        yield [reference, myelin, reference]


class Results(list):
    """Of each part what was found wrong; printed as it comes."""

    def append(self, result):
        what, found = result
        print("system: %s: %s" % (what, "as expected" if not found else "%d differences" % len(found)))
        for line in found:
            print("   ", line)
        sys.stdout.flush()
        super().append(result)


def with_both(path, program, what, check):
    """A check of a reference and Myelin, both fresh: nothing that went before happens late."""
    reference, own = monitoring.Server(path, CONFIG), monitoring.Server(program, CONFIG)
    try:
        version = reference.json("/varz")["version"]
        found = check(reference, own, not version.startswith("2.9."))
        return "%s with %s" % (what, version), found
    finally:
        reference.stop()
        own.stop()


def main():
    program, references = sys.argv[1], sys.argv[2:]
    Node.ours = property(lambda node: "myelin" in os.path.basename(node.path))
    results = Results()
    myelin = monitoring.Server(program, PROXIED)
    try:
        results.append(("Myelin's users", check_users(myelin, True)))
        results.append(("Myelin's wrong logins", check_wrong_logins(myelin, [("p", "Proxy Required")])))
        for path in references:
            for what, check in (("compared", compare_answers), ("events compared", compare_happenings)):
                results.append(with_both(path, program, what, check))
        results.append(("Myelin's orders", check_orders(myelin)))
    finally:
        myelin.stop()
    results.append(("Myelin's storm", check_storm(program)))
    results.append(("Myelin's start", check_start(program)))
    for programs in clusters(program, references):
        results.append(("cluster of %s" % [os.path.basename(path) for path in programs], check_cluster(programs)))
    for other in [program] + references:
        results.append(("gateways of Myelin and %s" % os.path.basename(other), check_gateways([program, other])))
    failed = sum(bool(found) for _, found in results)
    print("%d passed, %d failed" % (len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
