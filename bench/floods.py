#!/usr/bin/env python3
"""bench/floods.py - how long a connected client waits for its answers while others flood the server: Myelin and nats-server
side by side.

A client with TLS, which is there before the flood, sends requests at fixed times (myelin-bench request --rate: late answers
count from when they were due), first alone, then while one flood after the other goes on:

    handshakes       three processes that connect with TLS, log in, and close, as fast as they can
    slow handshakes  a thousand connections, each of which sends a byte of its ClientHello now and then; who is closed comes
                     again
    wrong passwords  a hundred connections that each say a wrong password for a hash of cost 11, and come again when refused

What the flood achieved is read from the server (/varz): connections a second. Every round starts each server anew. The
generators run with nice 10, because on few cores they would otherwise stand in the client's way, not the server. See
docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import http.client
import json
import os
import random
import selectors
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import free_port  # noqa: E402
from compare import MYELIN, Certificate, Server, nats_new_find, stop  # noqa: E402

RUN_SECONDS = 120
SLOW_CONNECTIONS = 1000
SLOW_PAUSE_SECONDS = 0.1   # between two bytes of one connection, on average
WRONG_CONNECTIONS = 100
STORMERS = 3
NICE = 10
HASH = "$2a$11$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"  # of nothing that is said here
CONFIGURATION = """tls { cert_file: "%s", key_file: "%s" }
allow_non_tls: true
authorization { timeout: 60, users: [ {user: plain, password: secret}, {user: hashed, password: "%s"} ] }
"""
IDLE, HANDSHAKES, SLOW, WRONG = "idle", "handshakes", "slow handshakes", "wrong passwords"
WRONG_LOGIN = b'CONNECT {"verbose":false,"user":"hashed","pass":"wrong"}\r\n'


# ---- the floods that this program makes itself, each in a process of its own: floods.py --flood NAME PORT ----

class Connections:
    """So many connections to the port; who is closed comes again. `ready` is called when one has said INFO, and may be called
    again for any that is open."""

    def __init__(self, port, count):
        self.address, self.selector, self.open = ("127.0.0.1", port), selectors.DefaultSelector(), []
        for _ in range(count):
            self.connect()

    def connect(self):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self.address)
        self.selector.register(client, selectors.EVENT_READ)

    def turn(self, ready, seconds):
        """Reads what is there; new ones are handed to `ready`."""
        for key, _ in self.selector.select(seconds):
            client = key.fileobj
            try:
                data = client.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self.selector.unregister(client)
                client.close()
                if client in self.open:
                    self.open.remove(client)
                self.connect()
            elif data.startswith(b"INFO "):
                self.open.append(client)
                ready(client)


def say(client, data):
    try:
        client.send(data)
    except OSError:
        pass  # closed meanwhile: the next turn notices


def flood_slow(port):
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outgoing.read()
    said = {}
    connections = Connections(port, SLOW_CONNECTIONS)
    while True:
        connections.turn(lambda client: said.update({client: 0}), SLOW_PAUSE_SECONDS / 10)
        for client in random.sample(connections.open, len(connections.open) // 10):
            at = said[client]
            say(client, hello[at:at + 1])
            said[client] = at + 1
        if len(said) > 4 * SLOW_CONNECTIONS:
            said = {client: said[client] for client in connections.open}


def flood_wrong(port):
    connections = Connections(port, WRONG_CONNECTIONS)
    while True:
        connections.turn(lambda client: say(client, WRONG_LOGIN), 1)


FLOODS = {SLOW: flood_slow, WRONG: flood_wrong}


class Flood:
    """The processes of one flood, until stop()."""

    def __init__(self, name, options, port, certificate):
        if name == IDLE:
            commands = []
        elif name == HANDSHAKES:
            login = ["--user", "plain", "--pass", "secret", "--connections", "1000000", "--quiet"]
            commands = [[options.bench, "connect", "--server", f"127.0.0.1:{port}", *certificate.of_bench(), *login]] * STORMERS
        else:
            commands = [[sys.executable, "-B", os.path.abspath(__file__), "--flood", name, str(port)]]
        self.processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL, preexec_fn=lambda: os.nice(NICE))
                          for command in commands]

    def stop(self):
        alive = [process for process in self.processes if process.poll() is None]
        for process in alive:
            process.kill()
        for process in self.processes:
            process.wait()
        if len(alive) < len(self.processes):
            raise RuntimeError("a flood has ended by itself")


# ---- the measuring ----

def varz(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=RUN_SECONDS)
    connection.request("GET", "/varz")
    document = json.loads(connection.getresponse().read())
    connection.close()
    return document


def client_start(options, port, watched_port, certificate):
    """The process of the client, once both of its connections are there and talk."""
    before = varz(watched_port)
    client = subprocess.Popen([options.bench, "request", "--server", f"127.0.0.1:{port}", "--user", "plain", "--pass", "secret",
                               *certificate.of_bench(), "--rate", str(options.rate), "--timeout", "60", "--messages",
                               str(int(options.rate * options.seconds)), "--json", "--quiet"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while client.poll() is None:
        now = varz(watched_port)
        if now["total_connections"] >= before["total_connections"] + 2 and now["in_msgs"] > before["in_msgs"]:
            break
        time.sleep(0.01)
    return client


def measure(options, name, port, watched_port, certificate):
    """(p50, p99, most in us, connections a second of the flood)."""
    client = client_start(options, port, watched_port, certificate)
    flood = Flood(name, options, port, certificate)
    try:
        before, began = varz(watched_port)["total_connections"], time.monotonic()
        out, problem = client.communicate(timeout=RUN_SECONDS)
        took = time.monotonic() - began
        rate = (varz(watched_port)["total_connections"] - before) / took
    finally:
        client.kill()
        client.wait()
        flood.stop()
    if client.returncode != 0:
        raise RuntimeError(f"{name}: {problem.strip()}")
    report = json.loads(out)
    return [report[f"latency_{which}_ns"] / 1000 for which in ("p50", "p99", "max")] + [rate]


def run_round(options, server, certificate, figures):
    watched_port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(CONFIGURATION % (certificate.file, certificate.key, HASH))
        file.flush()
        process, port = Server(server.key, server.path, ["-c", file.name, "-m", str(watched_port)]).start()
        try:
            for name in options.only:
                try:
                    figure = measure(options, name, port, watched_port, certificate)
                except RuntimeError as error:
                    raise RuntimeError(f"{server.title}: {error}") from None
                figures.setdefault((name, server.title), []).append(figure)
        finally:
            stop(process)


def table_print(names, titles, figures):
    print("| | " + " | ".join(f"{title}: p50 | p99 | most | flood, a second" for title in titles) + " |")
    print("|---|" + "---|" * 4 * len(titles))
    for name in names:
        cells = []
        for title in titles:
            p50, p99, most, rate = (statistics.median(column) for column in zip(*figures[name, title]))
            cells += [f"{p50:,.0f} us", f"{p99:,.0f} us", f"{most / 1000:,.1f} ms", "" if name == IDLE else f"{rate:,.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


def options_parse():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default=os.path.join(root, "build", "myelin-bench"))
    parser.add_argument("--myelin", default=os.path.join(root, "build", "myelin"))
    parser.add_argument("--nats", default="/usr/sbin/nats-server", help="the distribution's nats-server")
    parser.add_argument("--nats-new", help="a current nats-server; default: built from its Go module")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--only", help=f"of {IDLE}, {HANDSHAKES}, {SLOW}, {WRONG}, with commas between")
    parser.add_argument("--flood", nargs=2, metavar=("NAME", "PORT"), help="only make this flood, until killed")
    options = parser.parse_args()
    everything = [IDLE, HANDSHAKES, SLOW, WRONG]
    options.only = options.only.split(",") if options.only else everything
    if not set(options.only) <= set(everything) or options.rounds < 1:
        parser.error(f"floods are {', '.join(everything)}; rounds are above 0")
    return options


def main():
    options = options_parse()
    if options.flood:
        FLOODS[options.flood[0]](int(options.flood[1]))
    servers = [Server(MYELIN, options.myelin), Server("nats", options.nats)]
    newest = nats_new_find(options.nats_new, os.path.dirname(os.path.abspath(options.bench)))
    if newest:
        servers.append(Server("nats_new", newest))
    servers = [server for server in servers if os.access(server.path, os.X_OK)]
    for server in servers:
        said = subprocess.run([server.path, "-v"], capture_output=True, text=True, check=False).stdout.split()
        server.title = "Myelin" if server.key == MYELIN else f"nats-server {said[-1].lstrip('v')}"
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        certificate = Certificate(folder)
        for _ in range(options.rounds):
            for server in servers:
                run_round(options, server, certificate, figures)
    table_print(options.only, [server.title for server in servers], figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
