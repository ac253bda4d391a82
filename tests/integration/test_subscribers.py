#!/usr/bin/env python3
"""tests/integration/test_subscribers.py MYELIN REFERENCE... - $SYS.DEBUG.SUBSCRIBERS compared with nats-server's.

The same subscriptions on Myelin and on each reference, then the same questions: each answer has to be the same. In
clusters of Myelin and the references every server counts what clients of all of them have.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_monitoring as monitoring  # noqa: E402
from cluster_client import Failure, Node, free_ports, pump  # noqa: E402
from test_system import Asker, Results, clusters, connect  # noqa: E402

SUBJECT = "$SYS.DEBUG.SUBSCRIBERS"
ACCOUNTS = """
accounts {
  A { users: [{user: a, password: a}]
      imports: [{service: {account: SYS, subject: "$SYS.DEBUG.SUBSCRIBERS"}}, {stream: {account: E, subject: "st.>"}}] }
  B { users: [{user: b, password: b}] }
  E { users: [{user: e, password: e}], exports: [{stream: "st.>"}]
      imports: [{service: {account: SYS, subject: "$SYS.DEBUG.SUBSCRIBERS"}, to: "subs.count"}] }
  SYS { users: [{user: s, password: s}], exports: [{service: "$SYS.DEBUG.SUBSCRIBERS"}] }
}
system_account: SYS
"""
CONFIG = 'listen: "127.0.0.1:-1"\nhttp: "127.0.0.1:-1"\n' + ACCOUNTS
NOT_EXPORTED = CONFIG.replace(', exports: [{service: "$SYS.DEBUG.SUBSCRIBERS"}]', "")

# user, subject, queue group
SUBSCRIPTIONS = [
    ("a", "abc", None), ("a", "abc", None), ("a", "abc", "q1"), ("a", "abc", "q1"), ("a", "abc", "q2"),
    ("a", "ab.*", None), ("a", "ab.c", None), ("a", "ab.>", "q1"), ("a", "st.x", None), ("a", "st.*", "q3"), ("a", "*", None),
    ("b", "abc", None), ("s", "abc", None), ("s", "x.y", None), ("e", "st.x", None),
]
BODIES = ["abc", "abc q1", "abc  q1", " abc q2 ", "abc q1 more", "ab.*", "ab.* nope", "ab.*  q1", "ab.>", "ab.> q1", "*", "* q1",
          "", "   ", "st.x", "st.>", "st.> q3", "foo..bar", ".", "abc\tq1", "abc\n", "x.y", "ab.c", "ab.c q1", "nothing"]


def asked_by(account):
    return b'NATS/1.0\r\nNats-Request-Info: {"acc":"%s"}\r\n\r\n' % account.encode()


# Headers of a user of the system account; what says nothing, or nobody, is not answered.
HEADERS = [asked_by("A"), b'NATS/1.0\r\nNats-Request-Info: {"acc":"A","svc":"B"}\r\n\r\n']
SILENT_HEADERS = [asked_by("NOPE"), b"NATS/1.0\r\nNats-Request-Info: {bad\r\n\r\n", b"NATS/1.0\r\nX: y\r\n\r\n"]
# What servers ask each other.
NSUBS = ['{"acc":"A","subject":"abc"}', '{"acc":"A","subject":"abc","queue":"cTE="}', '{"acc":"A","subject":"ab.*"}',
         '{"acc":"A","subject":"abc","queue":""}']
SILENT_NSUBS = ['{"acc":"NOPE","subject":"abc"}', '{"acc":"EMPTY","subject":"abc"}', "", "{bad"]


def answers_of(server):
    """By question, what is answered."""
    clients = {user: connect(server, user) for user in ("a", "b", "e", "s")}
    subscribers = {user: connect(server, user) for user in clients}
    for user, subject, queue in SUBSCRIPTIONS:
        subscribers[user].subscribe(subject, queue)
    for client in subscribers.values():
        client.flush()
    system, found = clients["s"], {}
    for user, subject in (("a", SUBJECT), ("e", "subs.count"), ("s", SUBJECT)):
        for body in BODIES:
            found[user, body] = clients[user].request(subject, body)[0].body
    for header in HEADERS:
        found[header] = system.request(SUBJECT, "abc", header)[0].body
    found["forged"] = clients["a"].request(SUBJECT, "abc", asked_by("B"))[0].body
    for body in NSUBS:
        found[body] = system.request("$SYS.REQ.ACCOUNT.NSUBS", body)[0].body
    inboxes = {header: system.ask(SUBJECT, "abc", header) for header in SILENT_HEADERS}
    inboxes.update({body: system.ask("$SYS.REQ.ACCOUNT.NSUBS", body) for body in SILENT_NSUBS})
    system.request(SUBJECT, "abc")
    found.update({what: len(system.answers(inbox)) for what, inbox in inboxes.items()})
    refused = clients["b"].request(SUBJECT, "abc")[0]
    found["without import"] = (refused.header[:12], refused.body)
    for client in (*clients.values(), *subscribers.values()):
        client.close()
    return found


def compare(reference, program):
    servers = [monitoring.Server(path, CONFIG) for path in (reference, program)]
    try:
        theirs, ours = (answers_of(server) for server in servers)
        exports = [sorted(str(one) for one in server.json("/accountz?acc=SYS")["account_detail"]["exports"] if
                          "USER" not in str(one)) for server in servers]
    finally:
        for server in servers:
            server.stop()
    found = ["%r is answered %r, Myelin answers %r" % (what, theirs[what], ours[what]) for what in theirs if theirs[what] != ours[what]]
    if exports[0] != exports[1]:
        found.append("exports %s, Myelin has %s" % tuple(exports))
    for path in (reference, program):
        try:
            monitoring.Server(path, NOT_EXPORTED).stop()
            found.append("%s lets it be imported that is not exported" % path)
        except RuntimeError as error:
            if "not authorized" not in str(error):
                found.append(str(error))
    return found


def ask_until(user, body, count, header=None):
    """Asks now and then until one question is answered so, once."""
    inboxes = []
    pump([user], lambda: any([one.body for one in user.answers(inbox)] == [b"%d" % count] for inbox in inboxes),
         lambda: inboxes.append(user.ask(SUBJECT, body, header)), 0.1)


def count_everywhere(programs):
    """A plain subscription and two members of a group at each server; in the end each server knows of all."""
    ports = free_ports(2 * len(programs))
    nodes = [Node(program, "n%d" % i, ports[2 * i], ports[2 * i + 1],
                  ["--shards", "2"] if "myelin" in os.path.basename(program) else [], accounts=ACCOUNTS)
             for i, program in enumerate(programs)]
    found = []
    try:
        for node in nodes:
            node.routes = [other.cluster_port for other in nodes if other is not node]
            node.start()
        subscribers = [Asker(node, "a") for node in nodes]
        for client in subscribers:
            for queue in (None, "g", "g"):
                client.subscribe("count.me", queue)
            client.flush()
        users = [Asker(node, "a") for node in nodes] + [Asker(nodes[0], "s")]
        for user in users:
            for body, count in (("count.me", 3 * len(nodes)), ("count.me g", 2 * len(nodes)), ("count.*", 3 * len(nodes)),
                                ("count.* h", 0)):
                ask_until(user, body, count, asked_by("A") if user is users[-1] else None)
        users[-1].close()
        for client in (subscribers[0], users[0]):  # a server without clients in the account does not answer the others
            client.close()
        ask_until(Asker(nodes[1], "a"), "count.me", 3 * len(nodes) - 3)
    except Failure as error:
        found.append("%s: %s, the last answers: %r" % (programs, error, [one.body for one in users[0].messages][-3:]))
    finally:
        for node in nodes:
            node.stop()
    return found


def main():
    program, references = sys.argv[1], sys.argv[2:]
    results = Results()
    for path in references:
        results.append(("compared with %s" % path, compare(path, program)))
    for programs in clusters(program, references):
        results.append(("counted in a cluster of %s" % [os.path.basename(path) for path in programs], count_everywhere(programs)))
    failed = sum(bool(found) for _, found in results)
    print("%d passed, %d failed" % (len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
