#!/usr/bin/env python3
"""tests/integration/test_reload.py SERVER - what a reload changes while messages flow, on three shards.

Method: some publishers never stop; under that load the file changes again and again: users come, go and change,
permissions and mappings change, imports and exports come and go, certificates are rotated, a file is wrong. Behind
each reload the new rules hold on every shard, and whoever the change does not concern has missed nothing.
"""
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from server import PATIENCE, Client, Server, end, trust  # noqa: E402

EACH = 6  # clients of a kind: with three shards each shard has some
GROUP = 3
ROUNDS = 20


def login(server, user, **more):
    return Client(server).hello(user=user, **{"pass": "p"}, **more)


class Load:
    """In an account that no reload concerns: publishers, a subscriber, to whom every message has to come, in order, the
    members of a group, who get each once, and requests, of which each is answered."""

    def __init__(self, server):
        self.subscriber = self.subscribed(server, b"SUB load.* 1\r\n")
        self.members = [self.subscribed(server, b"SUB load.* group 1\r\nSUB stop 2\r\n") for _ in range(GROUP)]
        self.responder = self.subscribed(server, b"SUB ask 1\r\nSUB stop 2\r\n")
        self.asking = self.subscribed(server, b"SUB answer 1\r\n")
        self.stopping, self.begun, self.problem, self.sent, self.grouped = threading.Event(), threading.Event(), None, 0, 0
        work = [(self.publish, server), (self.take,), (self.respond,)] + [(self.take_of_group, member) for member in self.members]
        self.threads = [threading.Thread(target=self.guard, args=each) for each in work]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def subscribed(server, lines):
        client = login(server, "witness")
        client.send(lines + b"PING\r\n")
        client.expect(b"PONG")
        return client

    def guard(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.problem = self.problem or f"the load: {work.__name__}: {error!r}"
            self.begun.set()

    def publish(self, server):
        publishers = [login(server, "witness") for _ in range(EACH)]
        while not self.stopping.is_set():
            self.asking.send(b"PUB ask answer 8\r\n%08d\r\n" % self.sent)
            for number, client in enumerate(publishers):
                client.send(b"PUB load.%d 8\r\n%08d\r\n" % (number, self.sent) * 10)
                client.send(b"PING\r\n")
                client.expect(b"PONG")
            self.asking.expect(b"MSG answer 1 8", b"%08d" % self.sent)
            self.sent += 1
            self.begun.set()
            self.stopping.wait(0.001)  # a load, not a flood: every line of it is in the log while a row traces
        for client in publishers:
            client.send(b"PUB load.end 3\r\nend\r\nPUB stop 0\r\n\r\nPING\r\n")
            client.expect(b"PONG")

    @staticmethod
    def messages(client):
        """Subject and reply, and what it holds."""
        while True:
            line = client.line()
            if line == b"PING":
                client.send(b"PONG\r\n")
            elif line.startswith(b"MSG "):
                words = line.split()
                yield words[1], words[3], client.line()
            else:
                assert line.startswith((b"INFO ", b"PONG")), line

    def take(self):
        last, ends, count = {}, 0, 0
        for subject, _, body in self.messages(self.subscriber):
            if subject == b"load.end":
                ends += 1
            else:
                assert last.get(subject, 0) <= int(body) <= last.get(subject, -1) + 1, (subject, body, last)
                last[subject] = int(body)
                count += 1
            if ends == EACH:
                break
        assert count == 10 * EACH * self.sent, (count, self.sent)

    def take_of_group(self, member):
        stops, count = 0, 0
        for subject, _, _ in self.messages(member):
            stops += subject == b"stop"
            count += subject not in (b"stop", b"load.end")
            if stops == EACH:
                break
        self.grouped += count

    def respond(self):
        stops = 0
        for subject, reply, body in self.messages(self.responder):
            stops += subject == b"stop"
            if subject == b"ask":
                self.responder.send(b"PUB %s 8\r\n%s\r\n" % (reply, body))
            if stops == EACH:
                return

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE)
        assert self.problem is None, self.problem
        assert self.sent > 0
        assert self.grouped == 10 * EACH * self.sent, f"a group got {self.grouped} of {10 * EACH * self.sent}"


WITNESS = 'W { users: [ {user: witness, password: p} ] }\n'


def users(*lines):
    return "accounts {\n" + WITNESS + " A { users: [\n" + "\n".join(lines) + "\n] }\n}\n"


def settled(client):
    client.send(b"PING\r\n")
    client.expect(b"PONG")


def last_words(client):
    """Up to the end, without the INFO behind the first PONG."""
    return re.sub(rb"INFO .*\r\n", b"", client.rest())


def users_come_go_and_change(program, folder):
    """Nobody but those whom it concerns is closed; each in the way that it should."""
    kept, gone, changed = "{user: kept, password: p}", "{user: gone, password: p}", "{user: changed, password: p}"
    server = Server(program, folder, users(kept, gone, changed))
    load = Load(server)
    stays = [login(server, "kept") for _ in range(EACH)]
    for _ in range(ROUNDS):
        leaving = [login(server, "gone") for _ in range(EACH)]
        refused = [login(server, "changed") for _ in range(EACH)]
        server.reload(users(kept, "{user: new, password: p}", "{user: changed, password: q}"))
        for client in leaving:
            assert last_words(client) == b"", client.buffer
        for client in refused:
            assert last_words(client) == b"-ERR 'Authorization Violation'\r\n", client.buffer
        for client in stays + [login(server, "new")]:
            settled(client)
        server.reload(users(kept, gone, changed))
    load.finish()
    return server


def permissions_change(program, folder):
    """From the answer of the reload on nothing that is denied comes, to plain subscriptions and groups."""
    def limited(deny):
        return users("{user: limited, password: p, permissions: {subscribe: {deny: [%s]}}}" % deny,
                     "{user: any, password: p}")
    server = Server(program, folder, limited('"never"'))
    load = Load(server)
    clients = [login(server, "limited") for _ in range(EACH)]
    publishers = [login(server, "any") for _ in range(EACH)]
    for client in clients:
        client.send(b"SUB x.* 1\r\nSUB x.* q 2\r\n")
        settled(client)
    for denied, allowed in [("x.a", "x.b"), ("x.b", "x.a")] * (ROUNDS // 2):
        server.reload(limited(f'"{denied}"'))
        for client in clients:
            settled(client)  # its shard has the new options
        for publisher in publishers:
            settled(publisher)
            publisher.send(b"PUB %s 1\r\nx\r\nPUB %s 1\r\ny\r\n" % (denied.encode(), allowed.encode()))
            settled(publisher)
        plain = grouped = 0
        for client in clients:
            client.send(b"PING\r\n")
            while (line := client.line()) != b"PONG":
                if line.startswith(b"MSG "):
                    assert line.split()[1] == allowed.encode(), line
                    plain += line.split()[2] == b"1"
                    grouped += line.split()[2] == b"2"
        assert plain == EACH * EACH and grouped == EACH, (plain, grouped)
    load.finish()
    return server


def imports_and_mappings_change(program, folder):
    """Streams and services through an import that moves, and a mapping that turns."""
    def moved(prefix, service, mapping):
        return ("accounts {\n" + WITNESS +
                " EXP { users: [ {user: exp, password: p} ], exports: [ {stream: \"s.>\"}, {service: \"svc.*\"} ]\n"
                "  mappings { \"m\": \"%s\" } }\n IMP { users: [ {user: imp, password: p} ], imports: [\n"
                "  {stream: {account: EXP, subject: \"s.>\"}, prefix: %s}\n"
                "  {service: {account: EXP, subject: \"svc.*\"}, to: \"%s.*\"} ] }\n}\n" % (mapping, prefix, service))
    server = Server(program, folder, moved("p0", "ask0", "m.0"))
    load = Load(server)
    importers = [login(server, "imp", headers=True, no_responders=True) for _ in range(EACH)]
    exporter, publisher = login(server, "exp"), login(server, "exp")
    for number, client in enumerate(importers):
        client.send(b"SUB *.s.> 1\r\nSUB in.%d 2\r\n" % number)
        settled(client)
    exporter.send(b"SUB svc.* 1\r\nSUB m.* 2\r\n")
    settled(exporter)
    for number in range(1, ROUNDS):
        server.reload(moved(f"p{number}", f"ask{number}", f"m.{number}"))
        for client in importers + [exporter, publisher]:
            settled(client)
        for client in importers:
            settled(client)  # a second turn: what mailboxes held back is done
        publisher.send(b"PUB s.a 1\r\nx\r\n" * 3 + b"PUB m 1\r\ny\r\n" * 2)
        settled(publisher)
        exporter.expect(*[b"MSG m.%d 2 1" % number, b"y"] * 2)
        for client in importers:
            client.expect(*[b"MSG p%d.s.a 1 1" % number, b"x"] * 3)
        for which, client in enumerate(importers):
            client.send(b"PUB ask%d.%d in.%d 1\r\nq\r\n" % (number, which, which))
            header = exporter.line().split()
            assert header[:3] == [b"MSG", b"svc.%d" % which, b"1"], header
            assert exporter.line() == b"q"
            exporter.send(b"PUB %s 1\r\na\r\n" % header[3])
            client.expect(b"MSG in.%d 2 1" % which, b"a")
            client.send(b"PUB ask%d.x in.%d 1\r\nq\r\n" % (number - 1, which))  # the old name is nobody's
            assert client.line().startswith(b"HMSG in.%d 2 " % which), client.buffer
            for expected in (b"NATS/1.0 503", b"Nats-Subject: ask%d.x" % (number - 1), b"", b""):
                client.expect(expected)
    load.finish()
    return server


def certificates_are_rotated(program, folder):
    """Live connections go on, each new one sees the newest certificate."""
    authority = Authority(folder)
    pairs = [authority.issue(name, names="DNS:localhost,IP:127.0.0.1") for name in ("one", "two")]

    def text(number):
        return users("{user: any, password: p}") + \
            "tls { cert_file: \"%s\", key_file: \"%s\" }\nallow_non_tls: true\n" % pairs[number]
    server = Server(program, folder, text(0))
    load = Load(server)
    old = []
    for number in range(ROUNDS):
        client = Client(server).secure(trust(authority))
        client.hello(user="any", **{"pass": "p"})
        name = dict(part[0] for part in client.socket.getpeercert()["subject"])["commonName"]
        assert name == ("one", "two")[number % 2], (name, number)
        old.append(client)
        server.reload(text((number + 1) % 2))
        for client in old:
            settled(client)
    load.finish()
    return server


def a_wrong_file_changes_nothing(program, folder):
    """One line says what is wrong, and where; everybody stays, and the rules are the old ones."""
    good = users("{user: any, password: p}")
    server = Server(program, folder, good)
    load = Load(server)
    client = login(server, "any")
    wrong = [
        (users("{user: any, password: p, permissions: {subscribe: {deny: \"a..b\"}}}"), r"server\.conf:4:\d+"),
        (users("{user: any, password: p}", "{user: any, password: q}"), r"server\.conf:\d+:\d+"),
        (users("{nkey: UNKNOWN}"), r"server\.conf:4:\d+"),
        (good + "accounts { B { imports: [ {stream: {account: NONE, subject: s}} ] } }\n", r"server\.conf:\d+:\d+"),
        (good + "mappings { \"a.*\": \"b.$2\" }\n", r"server\.conf:7:\d+"),
        (good + "tls { cert_file: \"none.pem\", key_file: \"none.pem\" }\n", r"server\.conf:7:\d+"),
        (good + "no_auth_user: nobody\n", "no_auth_user: \"nobody\" not present"),
        (good + "authorization { timeout: [] }\n", r"server\.conf:7:\d+"),
        (good + "authorization { users: [\n", "Parse error on line 8: "),
    ]
    for text, place in wrong:
        before = len(server.lines)
        server.write(text)
        server.process.send_signal(signal.SIGHUP)
        with server.changed:
            server.changed.wait_for(lambda: any("reload" in line.lower() and "[ERR]" in line
                                                for line in server.lines[before:]), PATIENCE)
            said = server.lines[before:]
        assert any("[ERR]" in line and re.search(place, line) for line in said), (text, said)
        settled(client)
        login(server, "any").close()
    server.reload(good)
    load.finish()
    return server


def logins_under_way(program, folder):
    """A reload between a password and its verdict: by the new options, and what is denied stays denied meanwhile."""
    done = subprocess.run([program, "mkpasswd", "--password-stdin", "-c", "9"], input="p\n", text=True,
                          capture_output=True, check=True)
    hashed = re.search(r"\$2\S+", done.stdout).group(0)

    def text(more):
        return ("authorization { users: [ {user: witness, password: p}\n"
                "{user: nobody, password: p, permissions: {subscribe: {deny: secret}}}\n"
                "{user: hashed, password: \"%s\", permissions: {subscribe: {deny: [secret, %s]}}} ] }\n"
                "no_auth_user: nobody\n" % (hashed, more))
    server = Server(program, folder, text("a"))
    load = Load(server)
    publisher = login(server, "witness")
    for number in range(ROUNDS // 2):
        clients = [Client(server) for _ in range(EACH)]
        for client in clients:
            client.send(b"SUB > 1\r\n")  # as nobody, before CONNECT
            client.expect(b"+OK")
            client.send(b"PING\r\n")
        for client in clients:
            client.send(b'CONNECT {"verbose":false,"user":"hashed","pass":"p"}\r\nPING\r\n')
        server.reload(text(f"b{number}"))
        publisher.send(b"PUB secret in 1\r\nx\r\n" * 100)
        settled(publisher)
        for client in clients:
            for _ in range(2):
                while (line := client.line()) != b"PONG":
                    assert b"secret" not in line and not line.startswith(b"-ERR"), line
            client.close()
    load.finish()
    return server


def refused_logins_do_nothing(program, folder):
    """Wrong passwords that are being checked while options change, once more for each: what follows them is never taken."""
    done = subprocess.run([program, "mkpasswd", "--password-stdin", "-c", "9"], input="p\n", text=True,
                          capture_output=True, check=True)
    hashed = re.search(r"\$2\S+", done.stdout).group(0)

    def text(number):
        return ("accounts { W { users: [ {user: witness, password: p} ] }\n"
                "A { users: [ {user: hashed, password: \"%s\"} ], mappings: {\"a\": \"b%d\"} } }\n" % (hashed, number))
    server = Server(program, folder, text(0))
    load = Load(server)
    for number in range(ROUNDS // 4):
        clients = [Client(server) for _ in range(EACH)]
        for client in clients:
            client.send(b'CONNECT {"verbose":false,"user":"hashed","pass":"wrong"}\r\n')
        server.reload(text(2 * number + 1))
        for client in clients:
            client.send(b"SUB > 1\r\nPUB x 1\r\nx\r\nPING\r\n")
        server.reload(text(2 * number + 2))
        for client in clients:
            line = client.line()  # the first one; on a busy machine the time for a login may be over before
            while line.startswith(b"INFO "):
                line = client.line()
            assert line in (b"-ERR 'Authorization Violation'", b"-ERR 'Authentication Timeout'"), line
            client.close()
    load.finish()
    return server


def labels_change_without_a_system_account(program, folder):
    """Nobody hears of a server's tags then, in a cluster or not."""
    lines = 'no_system_account: true\ncluster { name: C, listen: "127.0.0.1:-1" }\nserver_tags: ["%s"]\n'
    server = Server(program, folder, lines % "before")
    server.reload(lines % "behind")
    server.reload(lines % "before")  # it is still there
    return server


SCENARIOS = (users_come_go_and_change, permissions_change, imports_and_mappings_change, certificates_are_rotated,
             a_wrong_file_changes_nothing, logins_under_way, refused_logins_do_nothing,
             labels_change_without_a_system_account)


def main():
    passed = failed = 0
    os.environ["MYELIN_FLAGS"] = "--shards 3"
    wanted = sys.argv[2:]
    for scenario in SCENARIOS:
        if wanted and scenario.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                server = scenario(os.path.abspath(sys.argv[1]), folder)
                problem = server.stop()
                assert problem is None, problem + "\n" + "\n".join(server.lines[-40:])
                passed += 1
            except (AssertionError, OSError, ssl.SSLError) as error:
                failed += 1
                print(f"FAILED {scenario.__name__}: {str(error)[:3000]}\n{Server.abandon()}")
    end("reload", passed, failed)


if __name__ == "__main__":
    main()
