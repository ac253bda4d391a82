#!/usr/bin/env python3
"""tests/integration/test_imports.py SERVER - imports at their bounds: more of them than a mailbox holds, subjects that
are too long for a shadow, a stream and a service on one subject, one control line in several accounts.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import Client, Server  # noqa: E402

IMPORTS = 1500  # each a mail of some 60 bytes for each other shard; half of the smallest mailbox holds about 500
ROUNDS = 5


def login(server, user):
    return Client(server).hello(user=user, headers=True, no_responders=True, **{"pass": "p"})


def settled(client):
    client.send(b"PING\r\n")
    client.expect(b"PONG")


def more_imports_than_a_mailbox_holds(server):
    """SUB > gets all of them, again and again; what a client leaves behind when it goes is nothing."""
    publisher = login(server, "exp")
    for _ in range(ROUNDS):
        client, leaving = login(server, "imp"), login(server, "imp")
        leaving.send(b"SUB > 1\r\nSUB > q 2\r\nUNSUB 1\r\nSUB s.*.> 1\r\n")
        client.send(b"SUB > 1\r\n")
        settled(client)
        leaving.close()
        # The last ones may be made in a later turn: published until one arrives, then each has to.
        seen = 0
        while seen == 0:
            publisher.send(b"PUB s.%d.x 1\r\nx\r\n" % (IMPORTS - 1))
            settled(publisher)
            client.send(b"PING\r\n")
            while (line := client.line()) != b"PONG":
                seen += line.startswith(b"MSG ")
        for number in range(IMPORTS):
            publisher.send(b"PUB s.%d.y 1\r\nx\r\n" % number)
        wanted = {b"in%d.s.%d.y" % (number, number) for number in range(IMPORTS)}
        while wanted:
            line = client.line()
            if line.startswith(b"MSG "):
                client.expect(b"x")
                wanted -= {line.split()[1]}
            elif line == b"PING":
                client.send(b"PONG\r\n")
        client.send(b"UNSUB 1\r\n")
        settled(client)
        publisher.send(b"PUB s.1.y 1\r\nx\r\n")
        settled(publisher)
        settled(client)


def long_subjects_keep_apart(server):
    """A request that is a stream as well: what the stream's importer is sent does not change what the service gets."""
    service, asker, reader = login(server, "service"), login(server, "asker"), login(server, "reader")
    service.send(b"SUB svc.> 1\r\n")
    reader.send(b"SUB from.> 1\r\n")
    asker.send(b"SUB in 9\r\n")
    for client in (service, reader, asker):
        settled(client)
    for length in (10, 100, 120, 400, 1000):
        word = b"x" * length
        asker.send(b"PUB ask.%s in 1\r\nq\r\n" % word)
        reader.expect(b"MSG from.ask.%s 1 in 1" % word, b"q")
        line = service.line().split()
        assert line[0] == b"HMSG" and line[1] == b"svc." + word, line
        while service.line() != b"q":
            pass
        service.send(b"PUB %s 1\r\na\r\n" % line[3])
        asker.expect(b"MSG in 9 1", b"a")


def one_line_means_what_its_account_makes_of_it(server):
    """The same PUB in turn in accounts with and without a mapping, and through two imports of one subscription."""
    mapped, plain, both = login(server, "mapped"), login(server, "plain"), login(server, "both")
    both.send(b"SUB > 1\r\n")  # may not have `line` of the one that maps it to `other`
    mapped.send(b"SUB > 1\r\n")
    plain.send(b"SUB > 1\r\n")
    for client in (both, mapped, plain):
        settled(client)
    for _ in range(3):
        for _ in range(3):
            mapped.send(b"PUB line 1\r\nm\r\n")
            mapped.expect(b"MSG other 1 1", b"m")
            both.expect(b"MSG other 1 1", b"m")
        for _ in range(3):
            plain.send(b"PUB line 1\r\np\r\n")
            plain.expect(b"MSG line 1 1", b"p")
        settled(both)


def who_may_only_answer_answers_once(server):
    """The reply that a service sees through an import is one that allow_responses allows; the rest stays refused."""
    service, asker = login(server, "service"), login(server, "asker")
    service.send(b"SUB svc 1\r\n")
    asker.send(b"SUB in 9\r\n")
    settled(service)
    settled(asker)
    for _ in range(3):
        asker.send(b"PUB svc in 1\r\nq\r\nPUB in 1\r\nx\r\n")  # asker may not publish to its own inbox
        asker.expect(b"-ERR 'Permissions Violation for Publish to \"in\"'")
        reply = service.line().split()[3]
        while service.line() != b"q":
            pass
        service.send(b"PUB %s 1\r\na\r\nPUB %s 1\r\nb\r\nPUB svc 1\r\nc\r\n" % (reply, reply))
        for refused in (reply, b"svc"):
            service.expect(b"-ERR 'Permissions Violation for Publish to \"%s\"'" % refused)
        asker.expect(b"MSG in 9 1", b"a")
        settled(asker)


def user(name, more=""):
    return "users: [ {user: %s, password: p%s} ]\n" % (name, more)


MANY = "mailbox_bytes: 65536\naccounts {\n EXP { " + user("exp") + " exports: [ {stream: \"s.*.>\"} ] }\n IMP { " + \
    user("imp") + " imports: [\n" + \
    "\n".join("{stream: {account: EXP, subject: \"s.%d.>\"}, prefix: in%d}" % (n, n) for n in range(IMPORTS)) + "\n] }\n}\n"
LONG = """accounts {
 EXP { %s exports: [ {service: "svc.*"} ] }
 MID { %s exports: [ {stream: "ask.*"} ], imports: [ {service: {account: EXP, subject: "svc.*"}, to: "ask.*"} ] }
 END { %s imports: [ {stream: {account: MID, subject: "ask.*"}, prefix: from} ] }
}
""" % (user("service"), user("asker"), user("reader"))
LINES = """accounts {
 ONE { %s mappings { "line": "other" }, exports: [ {stream: "other"} ] }
 TWO { %s exports: [ {stream: "line"} ] }
 THREE { %s imports: [ {stream: {account: ONE, subject: "other"}}, {stream: {account: TWO, subject: "line"}} ] }
}
""" % (user("mapped"), user("plain"), user("both", ", permissions: {subscribe: {deny: line}}"))

ANSWER = """accounts {
 EXP { %s exports: [ {service: svc} ] }
 IMP { %s imports: [ {service: {account: EXP, subject: svc}} ] }
}
""" % (user("service", ", permissions: {subscribe: svc, allow_responses: true}"),
       user("asker", ", permissions: {publish: svc, subscribe: in}"))

SCENARIOS = (
    (more_imports_than_a_mailbox_holds, MANY, "--shards 3"),
    (long_subjects_keep_apart, LONG, "--shards 1"),
    (long_subjects_keep_apart, LONG, "--shards 3"),
    (who_may_only_answer_answers_once, ANSWER, "--shards 1"),
    (who_may_only_answer_answers_once, ANSWER, "--shards 3"),
    (one_line_means_what_its_account_makes_of_it, LINES, "--shards 1"),
    (one_line_means_what_its_account_makes_of_it, LINES, "--shards 3"),
)


def main():
    passed = failed = 0
    for scenario, configuration, flags in SCENARIOS:
        if sys.argv[2:] and scenario.__name__ not in sys.argv[2:]:
            continue
        os.environ["MYELIN_FLAGS"] = flags
        with tempfile.TemporaryDirectory() as folder:
            server = Server(os.path.abspath(sys.argv[1]), folder, configuration)
            problem = None
            try:
                scenario(server)
            except (AssertionError, OSError, KeyError) as error:
                problem = f"{error!r}"
            problem = server.stop() or problem
            if problem:
                print(f"FAILED {scenario.__name__} ({flags}): {problem[:1000]}\n" + "\n".join(server.lines[-20:]))
            passed, failed = passed + (not problem), failed + bool(problem)
    print(f"imports: {passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
