#!/usr/bin/env python3
"""tests/integration/test_import_rules.py SERVER [NATS_SERVER]... - which imports a server takes, at its start and at a reload:
rows 51 (no cycles) and 52 (account_token_position) of the checklist of security. Each server has to behave alike: the
nats-servers are the proof of the rows.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import PATIENCE, Client, Server, run_scenarios  # noqa: E402

ACCOUNTS = """accounts {
 A { users: [ {user: a, password: p} ], exports: [%s], imports: [%s] }
 B { users: [ {user: b, password: p} ], exports: [%s], imports: [%s] }
 C { users: [ {user: c, password: p} ] }
}
"""
SERVICE, STREAM = "{service: x}", "{stream: \"s.>\"}"


def imported(kind, account, subject, more=""):
    return "{%s: {account: %s, subject: \"%s\"}%s}" % (kind, account, subject, more)


def positioned(imports):
    """A's exports name the account in their second token; B imports these."""
    exports = "{service: \"x.*\", account_token_position: 2}, {stream: \"s.*.>\", account_token_position: 2}"
    return ACCOUNTS % (exports, "", "", ", ".join(imported(*one) for one in imports))


ONE_WAY = ACCOUNTS % (SERVICE, "", "", imported("service", "A", "x"))
OWN_NAME = positioned([("service", "A", "x.B"), ("stream", "A", "s.B.>", ", prefix: far")])
REFUSED = (
    ("two accounts import each other's service", "import forms a cycle",
     ACCOUNTS % (SERVICE, imported("service", "B", "x"), SERVICE, imported("service", "A", "x"))),
    ("two accounts import each other's stream", "import forms a cycle",
     ACCOUNTS % (STREAM, imported("stream", "B", "s.>"), STREAM, imported("stream", "A", "s.>"))),
    ("another account's name in a service", "service import not authorized", positioned([("service", "A", "x.C")])),
    ("any account's name in a service", "service import not authorized", positioned([("service", "A", "x.*")])),
    ("another account's name in a stream", "stream import not authorized", positioned([("stream", "A", "s.C.>")])),
    ("nobody's name in a stream", "stream import not authorized", positioned([("stream", "A", "s.zz.>")])),
)


def login(server, user):
    return Client(server).hello(user=user, **{"pass": "p"})


def settled(client):
    client.send(b"PING\r\n")
    client.expect(b"PONG")


def exchange(exporter, importer, subject):
    """The importer asks, the exporter answers."""
    exporter.send(b"SUB " + subject + b" 1\r\n")
    importer.send(b"SUB inbox 9\r\n")
    settled(exporter)
    settled(importer)
    importer.send(b"PUB " + subject + b" inbox 1\r\nq\r\n")
    line = exporter.line().split()
    assert line[:3] == [b"MSG", subject, b"1"] and exporter.line() == b"q", line
    exporter.send(b"PUB " + line[3] + b" 1\r\na\r\n")
    importer.expect(b"MSG inbox 9 1", b"a")
    exporter.send(b"UNSUB 1\r\n")
    importer.send(b"UNSUB 9\r\n")


def refused_at_the_start(program, folder):
    """By -t and by a start, with the same sentence."""
    path = os.path.join(folder, "refused.conf")
    for name, sentence, configuration in REFUSED:
        with open(path, "w", encoding="utf-8") as file:
            file.write(configuration)
        for flags in (["-t"], []):
            done = subprocess.run([program, "-a", "127.0.0.1", "-p", "-1", *flags, "-c", path], capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)
            said = done.stdout + done.stderr
            assert done.returncode == 1 and sentence in said, f"{name} {flags}: {done.returncode}: {said}"


def refused_at_a_reload(program, folder):
    """What was there before goes on."""
    server = Server(program, folder, ONE_WAY)
    try:
        exporter, importer = login(server, "a"), login(server, "b")
        for name, sentence, configuration in REFUSED:
            line = server.reloaded(configuration)
            assert "Failed to reload" in line and sentence in line, f"{name}: {line}"
            exchange(exporter, importer, b"x")
    finally:
        problem = server.stop()
    assert not problem, problem


def own_name_is_taken(program, folder):
    """At a reload and at the start; requests and messages go through."""
    for first in (ONE_WAY, OWN_NAME):
        server = Server(program, folder, first)
        try:
            exporter, importer = login(server, "a"), login(server, "b")
            if first is ONE_WAY:
                exchange(exporter, importer, b"x")
                server.reload(OWN_NAME)
            exchange(exporter, importer, b"x.B")
            importer.send(b"SUB far.> 5\r\n")
            settled(importer)
            exporter.send(b"PUB s.C.one 1\r\nn\r\nPUB s.B.one 1\r\ny\r\n")
            importer.expect(b"MSG far.s.B.one 5 1", b"y")
            settled(importer)
        finally:
            problem = server.stop()
        assert not problem, problem


if __name__ == "__main__":
    sys.exit(run_scenarios("import rules", (refused_at_the_start, refused_at_a_reload, own_name_is_taken), [os.path.abspath(path) for path in sys.argv[1:]]))
