#!/usr/bin/env python3
"""tests/integration/test_reload_times.py SERVER - reloads of what only shows by and by: deadlines, pings, fast producers.

Method: each scenario has a server and a load of its own, and all run at the same time, for they wait more than they work.
None of them asks how long something took: who came under the short time has to be ended while another one, who came
under the long time before, is still there. With nats-server as SERVER they prove themselves.
"""
import concurrent.futures
import json
import os
import re
import select
import socket
import ssl
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from server import PATIENCE, Client, Server, end, trust  # noqa: E402
from test_reload import Load, login, settled  # noqa: E402


class World:
    """A server, its load, and its file, of which one line changes."""

    def __init__(self, program, folder, line, more=""):
        self.ours = "myelin" in os.path.basename(program)
        self.more = more
        self.server = Server(program, folder, self.text(line), ["-D"])
        self.load = Load(self.server)
        assert self.load.begun.wait(PATIENCE)  # nats-server knows no users for a moment while it reloads

    def text(self, line):
        return (f'listen: "127.0.0.1:-1"\nhttp: "127.0.0.1:-1"\n{"shards: 3" if self.ours else ""}\n'
                f"accounts {{ W {{ users: [ {{user: witness, password: p}} ] }} }}\n{self.more}\n{line}\n")

    def reload(self, line, says):
        before = len(self.server.lines)
        self.server.reload(self.text(line))
        said = self.server.lines[before:]
        assert any(re.search(f"Reloaded: {says}$", each) for each in said), f"no {says} in {said}"

    def varz(self):
        port = int(self.server.expect("Starting http monitor on ").rsplit(":", 1)[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz", timeout=PATIENCE) as answer:
            return json.load(answer)

    def finish(self):
        self.load.finish()
        return self.server.stop()


def there(client):
    """Nothing has come of it, not even its end."""
    return not select.select([client.socket], [], [], 0)[0]


def pings_until_stale(client):
    count = 0
    while (line := client.line()) != b"-ERR 'Stale Connection'":
        assert line == b"PING" or line.startswith(b"INFO "), line
        count += line == b"PING"
    return count


def ping_max(program, folder):
    """Who never answers hears so many PINGs before the end; who came before the reload, too."""
    world = World(program, folder, "ping_max: 4", 'ping_interval: "250ms"')
    counts = [pings_until_stale(login(world.server, "witness"))]
    early = login(world.server, "witness")
    world.reload("ping_max: 7", "ping_max = 7")
    counts.append(pings_until_stale(early))
    world.reload("ping_max: 4", "ping_max = 4")
    assert (counts, world.varz()["ping_max"]) == ([4, 7], 4), counts
    return world.finish()


def stuck(world):
    """A subscriber that reads nothing of more than the sockets hold."""
    client, publisher = login(world.server, "witness"), login(world.server, "witness")
    client.send(b"SUB bulk.%d 1\r\n" % id(client))
    settled(client)
    publisher.socket.settimeout(PATIENCE)
    body = b"x" * 1000000
    for _ in range(16):
        publisher.send(b"PUB bulk.%d 1000000\r\n%s\r\n" % (id(client), body))
    settled(publisher)
    publisher.close()
    return client


def write_deadline(program, folder):
    """It is that of the options under which one came."""
    world = World(program, folder, 'write_deadline: "20s"')
    patient = stuck(world)
    for text in ("400ms", "300ms"):
        world.reload(f'write_deadline: "{text}"', f"write_deadline = {text}")
        client = stuck(world)
        world.server.expect(f"Slow Consumer Detected: WriteDeadline of {text} exceeded with ")
        client.close()
    assert world.server.count("Slow Consumer Detected") == 2, "the one from before is there"
    world.reload('write_deadline: "20s"', "write_deadline = 20s")
    assert world.varz()["write_deadline"] == 20 * 10**9
    patient.close()
    return world.finish()


def authorization_timeout(program, folder):
    """Who says nothing is ended by that of the options under which he came. nats-server ends him at each reload."""
    world = World(program, folder, "authorization { timeout: 20 }")
    patient = []  # one of before, one of when it is long again
    for _ in range(2):
        patient.append(Client(world.server))
        world.reload("authorization { timeout: 0.4 }", "authorization timeout = 0.4")
        assert world.varz()["auth_timeout"] == 0.4
        assert b"-ERR 'Authentication Timeout'" in Client(world.server).rest()
        world.reload("authorization { timeout: 20 }", "authorization timeout = 20")
        assert world.varz()["auth_timeout"] == 20
    for client in patient if world.ours else ():
        client.hello(user="witness", **{"pass": "p"})
    return world.finish()


def tls_timeout(program, folder):
    """Who begins a handshake and never ends it is ended by that of the options under which he came. nats-server's reload
    waits for him."""
    authority = Authority(folder)
    cert, key = authority.issue("localhost", names="DNS:localhost,IP:127.0.0.1")

    def tls(timeout):
        return f'tls {{ cert_file: "{cert}", key_file: "{key}", timeout: {timeout} }}'

    def begin():
        client = Client(world.server)
        client.send(bytes((0x16, 3, 1, 2, 0)))  # of a record, which does not come
        return client
    world = World(program, folder, tls(20), "allow_non_tls: true")
    begun = []
    for _ in range(2):
        if world.ours:
            begun.append(begin())
        world.reload(tls(0.4), r"tls timeout = 0\.4")
        begin().rest()
        world.reload(tls(20), "tls timeout = 20")
    Client(world.server).secure(trust(authority)).hello(user="witness", **{"pass": "p"}).close()
    assert all(there(client) for client in begun), "an option of others has ended one"
    return world.finish()


def no_fast_producer_stall(program, folder):
    """A subscriber that reads nothing: its producer is held back, unless the option says no."""
    world = World(program, folder, "no_fast_producer_stall: false", "max_pending: 4MB\nmax_payload: 128KB")

    def stalls():
        """How often somebody was, while a subscriber fell behind and was closed for it."""
        before, seen = world.varz()["stalled_clients"], world.server.count("Slow Consumer")
        slow, producer = login(world.server, "witness"), login(world.server, "witness")
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        slow.send(b"SUB fast 1\r\n")
        settled(slow)
        for _ in range(1000):
            producer.send(b"PUB fast 100000\r\n" + b"x" * 100000 + b"\r\n")
            if world.server.count("Slow Consumer") > seen:
                break
        settled(producer)
        assert world.server.count("Slow Consumer") > seen, f"never slow enough: {world.varz()} {world.server.lines[-5:]}"
        slow.close()
        producer.close()
        return world.varz()["stalled_clients"] - before
    assert stalls() > 0
    world.reload("no_fast_producer_stall: true", "fast producers will not be stalled")
    assert stalls() == 0
    world.reload("no_fast_producer_stall: false", "fast producers will be stalled")
    assert stalls() > 0
    return world.finish()


OWN = (no_fast_producer_stall,)  # behind a reload nats-server 2.15 delivers nothing here, so nobody is slow
SCENARIOS = (ping_max, write_deadline, authorization_timeout, tls_timeout, no_fast_producer_stall)


def attempt(program, scenario):
    with tempfile.TemporaryDirectory() as folder:
        try:
            problem = scenario(program, folder)
        except (AssertionError, OSError, ssl.SSLError, KeyError) as error:
            problem = repr(error)[:3000]
    if problem is not None:
        print(f"FAILED {scenario.__name__}: {problem}", flush=True)
    return problem is None


def main():
    program = os.path.abspath(sys.argv[1])
    os.environ["MYELIN_FLAGS"] = ""
    ours = "myelin" in os.path.basename(program)
    wanted = [scenario for scenario in SCENARIOS if (ours or scenario not in OWN) and
              scenario.__name__ in (sys.argv[2:] or [scenario.__name__])]
    with concurrent.futures.ThreadPoolExecutor(len(SCENARIOS)) as pool:
        passed = sum(pool.map(lambda scenario: attempt(program, scenario), wanted))
    end("reload of times", passed, len(wanted) - passed)


if __name__ == "__main__":
    main()
