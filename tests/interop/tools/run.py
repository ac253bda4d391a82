#!/usr/bin/env python3
"""tests/interop/tools/run.py MYELIN - the `nats` command-line tool against Myelin's system account (docs/events.md), and
nats-top against its monitoring port.

Rows for one server, and rows for a cluster of two, which is asked by one of them. Builds the tools below build/interop
unless they are there. Each row is a command and what it has to print; a row fails when the tool says something else or
fails. Without go, or where `nats` cannot be built, all is skipped with the reason; where CI is set that is a failure,
because there nobody would notice. nats-top is left out with the reason wherever its module cannot be had.
"""
import os
import re
import shutil
import subprocess
import sys

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
sys.path.insert(0, os.path.join(root, "tests", "integration"))
import skipped  # noqa: E402
from test_monitoring import Client, Server, wait_for  # noqa: E402
from test_system import answers_of_all, connect  # noqa: E402

TOOL = "github.com/nats-io/natscli/nats@v0.5.1"
BUILD_SECONDS = 600
COMMAND_SECONDS = 30
CONFIG = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: M1
shards: 2
accounts { A { users: [{user: a, password: a}] }, SYS { users: [{user: s, password: s}] } }
system_account: SYS
"""

CLUSTER = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: %s
accounts { A { users: [{user: a, password: a}] }, SYS { users: [{user: s, password: s}] } }
system_account: SYS
cluster { name: tools, listen: "127.0.0.1:-1", %s }
"""
POOL = 4  # routes between two servers: three, and one of the system account

# user, command, what it prints; CID is a client's, ID the server's
ROWS = [
    ("s", "server ping 1", r"M1\s+rtt=[\s\S]*1 replies"),
    ("s", "server list 1", r"│ M1 +│"),
    ("s", "server info M1", r"Server information for M1 \(ID\)[\s\S]*Auth Required: true[\s\S]*Subscriptions:"),
    ("s", "server report connections 1", r"victim[\s\S]*\bA\b"),
    ("s", "server report accounts", r"Accounts Overview[\s\S]*\bA +│ +1"),
    ("s", "server report cpu 1", r"M1:"),
    ("s", "server request variables", r'"server_id":"ID"'),
    ("s", "server request connections", r'"connections":\['),
    ("s", "server request accounts", r'"accounts":\['),
    ("s", "server check connection", r"^OK Connection"),
    ("s", "server request kick CID ID", r""),
    ("a", "account info", r"User: a\b[\s\S]*System Account: false"),
    ("a", "account report connections", r"Connections"),
    ("a", "rtt", r"127\.0\.0\.1:\d+: [\d.]+(µs|ms)"),
    ("a", "bench pub x --msgs 2000 --no-progress", r"publisher stats: [\d,]+ msgs/sec"),
]

# Of a cluster of M1 and M2; each has a client, `one` and `two`. M1 is asked.
CLUSTER_ROWS = [
    ("s", "server ping 2", r"M2\s+rtt=[\s\S]*2 replies|M1\s+rtt=[\s\S]*2 replies"),
    ("s", "server list 2", r"(│ M\d +│ tools [\s\S]*){2}Cluster Overview[\s\S]*│ tools +│ +2 │"),
    ("s", "server info M2", r"Server information for M2 \(ID\)[\s\S]*Client URLs: 127\S+\s+127[\s\S]*Cluster:\s+Name: tools"),
    ("s", "server report connections 2", r"(one|two) +│ M\d[\s\S]*(one|two) +│ M\d[\s\S]*Connections per server[\s\S]*M\d +│ tools"),
    ("s", "server report accounts", r"│ A +│ 2 +│"),
    ("s", "server report routes", r"│ M1 +│ tools +│ M2 [\s\S]*│ M2 +│ tools +│ M1 [\s\S]*│ 2 +│ 1 +│ +│ +│ 8 "),
    ("s", "server report gateways", r"│ M1 [\s\S]*│ M2 "),
    ("s", "server report health", r"│ M1 [\s\S]*│ M2 [\s\S]*ok: 2 / err: 0"),
    ("s", "server report cpu 2", r"(M1|M2): [\s\S]*(M1|M2): "),
    ("s", "server report mem 2", r"(M1|M2): [\s\S]*(M1|M2): "),
    ("s", "server request routes", r'"remote_name":"M1"[\s\S]*"remote_name":"M2"|"remote_name":"M2"[\s\S]*"remote_name":"M1"'),
    ("s", "server request connections --name M2", r'^\{"server":\{"name":"M2"[^\n]*"name":"two"[^\n]*\n$'),
    ("s", "server check connection", r"^OK Connection"),
    ("a", "account info", r"Connected Cluster: tools[\s\S]*Connected Server Name: M1"),
    ("a", "account report connections", r"(one|two) +│ M\d[\s\S]*(one|two) +│ M\d"),
    ("a", "account report statistics", r"(│ 127\.0\.0\.1 │ tools [\s\S]*){2}│ 2 "),
    ("a", "rtt", r"127\.0\.0\.1:\d+: [\d.]+(µs|ms)"),
]
MESSAGES = 2000

# What nats-top prints once, as text and as values with a delimiter, for every order that it has.
TOP_MODULE = "github.com/nats-io/nats-top"
TOP_BUILD_SECONDS = 120
TOP_SORTS = ("cid", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "uptime", "last", "idle")
TOP_ROWS = [
    ("-b -u", r"NATS server version 2\.\d+\.\d+ [\s\S]*ID: +ID\n[\s\S]*In: +Msgs: 3 +Bytes: 6 [\s\S]*Out: +Msgs: 2 +Bytes: 4 "
              r"[\s\S]*Connections Polled: 2\n[\s\S]* victim +1 +0 +2 +3 +4 +6 +py +0\.1 +\S+ +\S[^\n]* a\.>"),
] + [("-l , -sort " + order, r"Connections Polled:,2\n[\s\S]*,victim,1,0,2,3,4,6,py,0\.1,") for order in TOP_SORTS]


def build_top():
    """The path of nats-top, and why there is none."""
    path = os.path.join(root, "build", "interop", "nats-top")
    if os.path.exists(path):
        return path, None
    try:
        done = subprocess.run(["go", "build", "-o", path, TOP_MODULE], capture_output=True, text=True, check=False,
                              cwd=os.path.join(root, "tests", "interop", "tools", "top"), timeout=TOP_BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        return None, "its modules do not come"
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ["go says nothing"])[-1]
    return path, None


def build():
    """The tool's path, and why there is none."""
    folder = os.path.join(root, "build", "interop")
    path = os.path.join(folder, "nats")
    if os.path.exists(path):
        return path, None
    if shutil.which("go") is None:
        return None, "go is not installed"
    done = subprocess.run(["go", "install", TOOL], env={**os.environ, "GOBIN": folder}, capture_output=True, text=True,
                          timeout=BUILD_SECONDS, check=False)
    if done.returncode != 0:
        return None, "the tool cannot be built: " + (done.stderr.strip().splitlines() or ["go says nothing"])[-1]
    return path, None


def start(tool, server, user, words):
    home = server.folder.name  # it keeps contexts there, and finds none of ours
    command = [tool, "--server", "nats://127.0.0.1:%d" % server.client_port, "--user", user, "--password", user] + words
    return subprocess.Popen(command, env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "NO_COLOR": "1"},
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Results:
    passed, failed, skipped = 0, 0, 0

    def row(self, what, process, expected, tool="nats"):
        """Waits for a command's end, and looks at what it has printed."""
        try:
            out, err = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        good = process.returncode == 0 and re.search(expected, out + err)
        self.passed += bool(good)
        self.failed += not good
        print("%s %s %s" % ("ok" if good else "FAILED", tool, what))
        if not good:
            print("exit code %d\n%s\n%s" % (process.returncode, out, err))


def alone(tool, program, results):
    server = Server(program, CONFIG)
    try:
        victim = Client(server, "a", "victim")
        cid = str(server.json("/connz")["connections"][0]["cid"])
        server_id = server.json("/varz")["server_id"]
        for user, command, expected in ROWS:
            words = command.replace("CID", cid).replace(" ID", " " + server_id).split()
            results.row(command, start(tool, server, user, words), expected.replace("ID", server_id))
            if " kick " in command:
                victim.until_closed()
                print("ok and the client is gone")
    finally:
        server.stop()


def cluster(tool, program, results):
    first = Server(program, CLUSTER % ("M1", ""))
    second = Server(program, CLUSTER % ("M2", 'routes: ["nats://127.0.0.1:%d"]' % first.route_port))
    try:
        for server in (first, second):
            wait_for("all routes are there", lambda: server.json("/routez")["num_routes"] == POOL)
        asker = connect(first, "s")  # the tool waits for as many answers as the servers say that there are servers
        answers_of_all(asker, "$SYS.REQ.SERVER.PING", 2, lambda answer: answer["statsz"]["active_servers"] == 2)
        asker.close()
        clients = [Client(first, "a", "one"), Client(second, "a", "two")]
        server_id = second.json("/varz")["server_id"]
        for user, command, expected in CLUSTER_ROWS:
            results.row(command, start(tool, first, user, command.split()), expected.replace("ID", server_id))
        # One publishes here, one subscribes there.
        there = start(tool, second, "a", ["bench", "sub", "crossed", "--msgs", str(MESSAGES), "--no-progress"])
        wait_for("the other server's interest is known", lambda: any(
            "crossed" in route.get("subscriptions_list", []) for route in first.json("/routez?subs=1")["routes"]))
        here = start(tool, first, "a", ["bench", "pub", "crossed", "--msgs", str(MESSAGES), "--no-progress"])
        results.row("bench pub, in a cluster", here, r"publisher stats: [\d,]+ msgs/sec")
        results.row("bench sub, at the other server", there, r"subscriber stats: [\d,]+ msgs/sec")
        for client in clients:
            client.close()
    finally:
        first.stop()
        second.stop()


def top(program, results):
    path, reason = build_top()
    if path is None:
        skipped.note("nats-top", reason, len(TOP_ROWS))
        results.skipped += len(TOP_ROWS)
        return
    server = Server(program, CONFIG)
    try:
        victim, other = Client(server, "a", "victim"), Client(server, "a", "other")
        victim.say("SUB a.> 1\r\nPUB a.b 2\r\nhi\r\nPUB a.c 2\r\nhi\r\nPUB c 2\r\nhi\r\n")
        victim.sync()
        for words, expected in TOP_ROWS:
            command = [path, "-s", "127.0.0.1", "-m", str(server.http_port), "-o", "-", "-r", "1", "-d", "1"] + words.split()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            results.row(words, process, expected.replace("ID\\n", server.json("/varz")["server_id"] + "\\n"), "nats-top")
        for client in (victim, other):
            client.close()
    finally:
        server.stop()


def main():
    tool, reason = build()
    if tool is None:
        print("tools: %s: %s" % ("FAILED" if os.environ.get("CI") else "skipped", reason))
        return 1 if os.environ.get("CI") else 0
    results = Results()
    alone(tool, sys.argv[1], results)
    cluster(tool, sys.argv[1], results)
    top(sys.argv[1], results)
    print("%d passed, %d failed, %d skipped" % (results.passed, results.failed, results.skipped))
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
