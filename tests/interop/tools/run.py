#!/usr/bin/env python3
"""tests/interop/tools/run.py MYELIN - the `nats` command-line tool against Myelin's system account (docs/events.md).

Builds the tool below build/interop unless it is there. Each row is a command and what it has to print; a row fails when the
tool says something else or fails. Without go, or where the tool cannot be built, all is skipped with the reason; where
CI is set that is a failure, because there nobody would notice.
"""
import os
import re
import shutil
import subprocess
import sys

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
sys.path.insert(0, os.path.join(root, "tests", "integration"))
from test_monitoring import Client, Server  # noqa: E402

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


def run(tool, server, user, words):
    home = server.folder.name  # it keeps contexts there, and finds none of ours
    command = [tool, "--server", "nats://127.0.0.1:%d" % server.client_port, "--user", user, "--password", user] + words
    return subprocess.run(command, env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "NO_COLOR": "1"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)


def main():
    tool, reason = build()
    if tool is None:
        print("tools: %s: %s" % ("FAILED" if os.environ.get("CI") else "skipped", reason))
        return 1 if os.environ.get("CI") else 0
    server = Server(sys.argv[1], CONFIG)
    failed = 0
    try:
        victim = Client(server, "a", "victim")
        cid = str(server.json("/connz")["connections"][0]["cid"])
        server_id = server.json("/varz")["server_id"]
        for user, command, expected in ROWS:
            done = run(tool, server, user, command.replace("CID", cid).replace(" ID", " " + server_id).split())
            good = done.returncode == 0 and re.search(expected.replace("ID", server_id), done.stdout + done.stderr)
            failed += not good
            print("%s nats %s" % ("ok" if good else "FAILED", command))
            if not good:
                print("exit code %d\n%s\n%s" % (done.returncode, done.stdout, done.stderr))
            if " kick " in command:
                victim.until_closed()
                print("ok and the client is gone")
    finally:
        server.stop()
    print("%d passed, %d failed, 0 skipped" % (len(ROWS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
