#!/usr/bin/env python3
"""tests/integration/test_mappings.py SERVER [NATS_SERVER]... - destinations of mappings that are for a cluster: which ones a
server takes, by what its cluster is called, when that is written, changes by a reload, or is taken over from a server that
comes. Each server has to behave alike: the nats-servers are the proof.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import PATIENCE, Client, Server, run_scenarios  # noqa: E402

MESSAGES = 200  # for a draw of 50 %: that all fall on one side does not happen
CONFIGURATION = """server_name: %s
%s
accounts {
 EXP { users: [ {user: exp, password: p} ], exports: [ {service: "svc"} ], mappings {
  own: [ {destination: "own.c", weight: 100%%, cluster: C} ]
  part: [ {destination: "part.all", weight: 50%%}, {destination: "part.c", weight: 50%%, cluster: C} ]
  loss: [ {destination: "loss.c", weight: 50%%, cluster: C}, {destination: "loss", weight: 50%%, cluster: C} ]
  svc: [ {destination: "svc.c", weight: 100%%, cluster: C} ]
  %s
 } }
 IMP { users: [ {user: imp, password: p} ], imports: [ {service: {account: EXP, subject: "svc"}} ] }
}
"""
EACH_FULL = 'full: [ {destination: "full.all", weight: 100%}, {destination: "full.c", weight: 100%, cluster: C} ]'
IN_CLUSTER = {"own": {"own.c"}, "part": {"part", "part.c"}, "loss": {"loss", "loss.c"}, "svc": {"svc.c"}, "full": {"full.c"}}
ELSEWHERE = {"own": {"own"}, "part": {"part", "part.all"}, "loss": set(), "svc": {"svc"}, "full": {"full.all"}}


def each_full(program):
    """nats-server 2.9 adds up the weights of all clusters, and takes no more than 100."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
    return "" if version.startswith("nats-server: v2.9.") else EACH_FULL


def configured(program, cluster, name="one"):
    return CONFIGURATION % (name, "cluster { %s listen: \"127.0.0.1:-1\" }" % cluster if cluster is not None else "", each_full(program))


class Users:
    """A client of the account with the mappings, which has all subjects, and one that imports its service."""

    def __init__(self, server):
        self.exporter, self.importer = (Client(server).hello(user=user, **{"pass": "p"}) for user in ("exp", "imp"))
        self.exporter.send(b"SUB > 1\r\n")
        self.heard(b"")

    def heard(self, sent, count=None):
        """The subjects of what the exporter gets: `count` messages, or what comes before its PONG."""
        self.exporter.send(sent + b"PING\r\n")
        subjects, pong = [], False
        while len(subjects) < count if pong and count else not pong:
            line = self.exporter.line()
            if line.startswith(b"MSG "):
                subjects.append(line.split()[1].decode())
            elif line == b"PING":
                self.exporter.send(b"PONG\r\n")
            pong = pong or line == b"PONG"
        return set(subjects)

    def becomes(self, subject, count=MESSAGES):
        lines = b"PUB %s 1\r\nx\r\n" % subject.encode() * count
        if subject != "svc":
            return self.heard(lines)
        self.importer.send(lines + b"PING\r\n")
        self.importer.expect(b"PONG")
        return self.heard(b"", count)

    def hear_of(self, wanted):
        """Waits until all threads of the server that these are on have heard of the cluster's name."""
        until = time.monotonic() + PATIENCE
        for subject in ("own", "svc"):
            while self.becomes(subject, 1) != wanted[subject]:
                assert time.monotonic() < until, f"{subject} becomes {self.becomes(subject, 1)}, not {wanted[subject]}"

    def expect(self, program, wanted):
        for subject, subjects in wanted.items():
            if subject != "full" or each_full(program):
                heard = self.becomes(subject)
                assert heard == subjects, f"{subject} becomes {heard}, not {subjects}"


def ended(*servers):
    problems = [problem for problem in (server.stop() for server in servers) if problem]
    assert not problems, problems


def by_the_name_in_the_file(program, folder):
    """The mapping's cluster, others, none; and from one to the other by a reload, for lines that were sent before."""
    server = Server(program, folder, configured(program, None))
    Users(server).expect(program, ELSEWHERE)
    ended(server)
    server = Server(program, folder, configured(program, "name: C,"))
    users = Users(server)
    users.expect(program, IN_CLUSTER)
    for cluster, wanted in (("CC", ELSEWHERE), ("C", IN_CLUSTER), ("D", ELSEWHERE)):
        server.reload(configured(program, f"name: {cluster},"))
        users.hear_of(wanted)
        users.expect(program, wanted)
    ended(server)


def by_a_name_taken_over(program, folder):
    """A server whose cluster has no name takes that of one that comes."""
    folders = [os.path.join(folder, name) for name in ("one", "two")]
    for path in folders:
        os.mkdir(path)
    server = Server(program, folders[0], configured(program, ""))
    users = Users(server)
    users.expect(program, ELSEWHERE)
    routes = server.expect("Listening for route connections on ").rsplit(":", 1)[1]
    other = Server(program, folders[1], configured(program, f"name: C, routes: [ \"nats://127.0.0.1:{routes}\" ],", "two"))
    server.expect("Cluster name updated to C")
    users.hear_of(IN_CLUSTER)
    users.expect(program, IN_CLUSTER)
    ended(server, other)


if __name__ == "__main__":
    sys.exit(run_scenarios("mappings", (by_the_name_in_the_file, by_a_name_taken_over), [os.path.abspath(path) for path in sys.argv[1:]]))
