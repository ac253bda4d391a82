#!/usr/bin/env python3
"""NATS Streaming whose NATS server is another process (`-ns`, docs/streaming.md 10): what clients get through it, logins,
TLS, servers that go and come back, and what no server should say.

usage: test_streaming_outer.py MYELIN_BINARY [NATS_SERVER ...] [--only WORD]

Each case runs with each of the servers given as the one outside, Myelin itself among them.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import stan_client
from stan_client import FIRST, Nats, Refused, Stan
from stan_cases import Failure, Server, Under, equal, true

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # pylint: disable=wrong-import-position,import-error

CASES = []
MYELIN = None


def case(function):
    CASES.append(function)
    return function


def wait_until(condition, what):
    deadline = time.monotonic() + stan_client.WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not within {stan_client.WAIT} s: {what}")
        time.sleep(0.01)


class Outer:
    """A NATS server of the kind that is tested."""

    def __init__(self, binary, folder, *flags, config=None, port=-1):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.command = [binary, "-a", "127.0.0.1", *flags]
        if config is not None:
            path = os.path.join(self.folder, "conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(config)
            self.command += ["-c", path]
        self.log_path = os.path.join(self.folder, "log")
        self.port = port
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen([*self.command, "-p", str(self.port)], stdout=log, stderr=log)

        def log_text():
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                file.seek(begin)
                return file.read()
        wait_until(lambda: "Server is ready" in log_text() or self.process.poll() is not None, "the outer server")
        if self.process.poll() is not None:
            raise Failure("the outer server did not start: " + log_text())
        self.port = int(re.findall(r"Listening for client connections on \S+:(\d+)", log_text())[-1])

    def stop(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=stan_client.WAIT)


class Inner(Server):
    """Myelin as a streaming server alone: it has no port of its own."""

    def __init__(self, url, *flags, folder=None, config=None):
        try:
            super().__init__(["-ns", url, *flags], config=config, folder=folder)
        except IndexError:  # what Server looks for at the end is the line about the port
            pass
        true("Listening for client connections" not in self.log(), "it has a port for clients")


class Place:
    """What a case has; ends with it."""

    def __init__(self, binary):
        self.binary, self.folder = binary, tempfile.mkdtemp(prefix="outer-")
        self.things, self.opened = [], []

    def outer(self, *flags, **more):
        self.things.append(Outer(self.binary, self.folder, *flags, **more))
        return self.things[-1]

    def inner(self, url, *flags, **more):
        more.setdefault("folder", tempfile.mkdtemp(dir=self.folder))
        self.things.append(Inner(url, *flags, **more))
        return self.things[-1]

    def nats(self, port):
        self.opened.append(Nats(port))
        return self.opened[-1]

    def end(self):
        for nats in self.opened:
            if not nats.closed:
                nats.close()
        for thing in self.things:
            thing.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def url_of(outer, login=""):
    return f"nats://{login}127.0.0.1:{outer.port}"


def fails(place, text, url, *flags, config=None):
    """It does not start, ends with 1, and says why."""
    folder = tempfile.mkdtemp(dir=place.folder)
    link = os.path.join(folder, "nats-streaming-server")
    os.symlink(MYELIN, link)
    if config is not None:
        with open(os.path.join(folder, "conf"), "w", encoding="utf-8") as file:
            file.write(config)
        flags = (*flags, "-c", os.path.join(folder, "conf"))
    done = subprocess.run([link, "-ns", url, *flags], capture_output=True, text=True, timeout=stan_client.WAIT,
                          check=False)
    equal(done.returncode, 1, f"exit code with {url}")
    true(f"Failed to start: {text}" in done.stderr, f"{url}: {done.stderr[-600:]}")


# ---- what clients get ----

@case
def messages_acknowledgements_and_redelivery_pass_through(place):
    outer = place.outer()
    place.inner(url_of(outer))
    client = Stan(place.nats(outer.port), "me")
    one = client.subscribe("foo", ack_wait=5, in_flight=3)
    group = [client.subscribe("foo", group="g", auto=True) for _ in range(2)]
    client.publish_all("foo", [b"%d" % i for i in range(5)])
    equal([m.data for m in one.next_all(3)], [b"0", b"1", b"2"], "in flight")
    true(one.silent(), "more than may be in flight")
    one.ack(1)
    one.ack(3)
    later = sorted((m.sequence, m.redelivered) for m in one.next_all(3))
    equal(later, [(2, True), (4, False), (5, False)], "after the acknowledgements")
    wait_until(lambda: sum(m.messages.qsize() for m in group) == 5, "the group's messages")
    big = os.urandom(900 * 1024)
    client.publish("big", big)
    equal(client.subscribe("big", start=FIRST).next().data, big, "a message of many reads")
    client.publish("|", b"x")  # a channel, and so a subject, that other protocols give a meaning
    equal(client.ping(), "", "ping")
    client.close()


@case
def a_client_that_is_gone_is_replaced_at_once(place):
    """The server outside says that nobody listens to its heartbeats any more."""
    outer = place.outer()
    place.inner(url_of(outer))
    Stan(place.nats(outer.port), "me").nats.close()
    Stan(place.nats(outer.port), "me")


@case
def what_was_stored_comes_back_through_a_server_outside(place):
    outer = place.outer()
    folder = tempfile.mkdtemp(dir=place.folder)
    store = ["-st", "FILE", "-dir", os.path.join(folder, "store"), "-hbi", "60s"]
    inner = place.inner(url_of(outer), *store, folder=folder)
    client = Stan(place.nats(outer.port), "me")
    one = client.subscribe("foo", ack_wait=3)
    client.publish_all("foo", [b"x"] * 3)
    one.next_all(3)
    one.ack(2)
    # An acknowledgement is stored with what follows it in a later turn: hence the ping between.
    equal(client.ping(), "", "ping")
    client.publish("behind")
    inner.stop(signal.SIGKILL)
    place.inner(url_of(outer), *store, folder=folder)
    again = one.next_all(2)
    equal(sorted((m.sequence, m.redelivered) for m in again), [(1, True), (3, True)], "what was pending")
    client.publish("foo")
    message = one.next()
    while message.redelivered:  # where this takes long, what is owed comes once more
        message = one.next()
    equal(message.sequence, 4, "the next one")


@case
def a_second_server_of_the_same_cluster_id_does_not_start(place):
    outer = place.outer()
    place.inner(url_of(outer))
    fails(place, 'discovered another streaming server with cluster ID "test-cluster"', url_of(outer))
    place.inner(url_of(outer), "-cid", "other")
    me = place.nats(outer.port)
    Stan(me, "test-cluster")  # nobody of that id was left behind
    Stan(me, "me", cluster="other")


# ---- servers that go ----

@case
def a_lost_server_is_dialled_until_it_is_back(place):
    outer = place.outer()
    inner = place.inner(url_of(outer))
    client = Stan(place.nats(outer.port), "me")
    one = client.subscribe("foo", auto=True)
    client.publish("foo")
    one.next()
    outer.stop()
    wait_until(lambda: 'connection "_NSS-test-cluster-general" has been disconnected' in inner.log(), "the loss")
    outer.start()
    wait_until(lambda: f'reconnected to NATS Server at "{url_of(outer)}"' in inner.log(), "the way back")
    client.move(place.nats(outer.port), one)
    client.publish("foo")
    equal(one.next().sequence, 2, "after the loss")


@case
def a_login_in_the_url_is_not_told_when_the_server_is_back(place):
    outer = place.outer(config="authorization { user: who, password: not-for-the-log }")
    inner = place.inner(url_of(outer, "who:not-for-the-log@"))
    outer.stop()
    outer.start()
    wait_until(lambda: "reconnected to NATS Server at" in inner.log(), "the way back")
    true("not-for-the-log" not in inner.log(), "the password is in the log")


@case
def the_next_of_several_servers_is_taken(place):
    with socket.socket() as unused:  # bound and not listened to: a connect is refused
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()[1]
        first, second = place.outer(), place.outer()
        inner = place.inner(f"nats://127.0.0.1:{nobody}, 127.0.0.1:{first.port} ,nats://127.0.0.1:{second.port}")
        Stan(place.nats(first.port), "me").publish("foo")
        first.stop()
        wait_until(lambda: f'reconnected to NATS Server at "{url_of(second)}"' in inner.log(), "the second server")
        other = Stan(place.nats(second.port), "other")
        equal(other.subscribe("foo", start=FIRST).next().sequence, 1, "through the other server")


@case
def nobody_there_and_urls_that_are_none_are_told_at_the_start(place):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        fails(place, "nats: no servers available for connection", f"nats://127.0.0.1:{unused.getsockname()[1]}")
    for url in ("127.0.0.1:4222", "nats://127.0.0.1", "", "nats://"):
        fails(place, f"malformed url: {url}", url)


# ---- who it is ----

SEED, PUBLIC = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", \
    "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


@case
def logins_of_every_kind(place):
    seed = os.path.join(place.folder, "seed")
    with open(seed, "w", encoding="ascii") as file:
        file.write(f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n")
    plain = place.outer(config="authorization { user: u, password: p }")
    place.inner(url_of(plain, "u:p@"))
    equal(stan_over(place, plain, user="u", password="p"), "", "login in the URL")
    place.things.pop().stop()
    for flags, config in ((["--user", "u", "--pass", "p"], None), ([], "streaming { username: u, password: p }")):
        place.inner(url_of(plain), *flags, config=config)
        equal(stan_over(place, plain, user="u", password="p"), "", f"{flags} {config}")
        place.things.pop().stop()
    token = place.outer(config="authorization { token: secret }")
    for url, flags, config in ((url_of(token, "secret@"), [], None), (url_of(token), ["--auth", "secret"], None),
                               (url_of(token), [], "streaming { token: secret }")):
        place.inner(url, *flags, config=config)
        equal(stan_over(place, token, auth_token="secret"), "", f"{url} {flags} {config}")
        place.things.pop().stop()
    keyed = place.outer(config=f"authorization {{ users: [{{ nkey: {PUBLIC} }}, {{ user: c, password: c }}] }}")
    place.inner(url_of(keyed), config=f'streaming {{ nkey_seed_file: "{seed}" }}')
    equal(stan_over(place, keyed, user="c", password="c"), "", "an nkey")
    for outer, login in ((plain, ""), (plain, "u:wrong@"), (token, ""), (token, "wrong@"), (keyed, "")):
        fails(place, "nats: Authorization Violation", url_of(outer, login))
    fails(place, f"open {seed}.not: ", url_of(keyed), config=f'streaming {{ nkey_seed_file: "{seed}.not" }}')


def stan_over(place, outer, **login):
    """The answer to a ping of a client with that login."""
    nats = Nats.__new__(Nats)
    fields = "".join(f'"{ {"password": "pass"}.get(key, key) }":"{value}",' for key, value in login.items())
    send = Nats.send

    def first(self, data):
        send(self, data.replace(b"CONNECT {", b"CONNECT {" + fields.encode(), 1))
    nats.send = first.__get__(nats)
    nats.__init__(outer.port)
    place.opened.append(nats)
    client = Stan(nats, "me")
    client.publish("foo")
    answer = client.ping()
    client.close()
    return answer


@case
def tls_where_it_is_wanted_or_asked_for(place):
    authority = Authority(place.folder)
    other = Authority(place.folder, "other")
    pair = authority.issue("server", names="DNS:localhost,IP:127.0.0.1")
    mine = authority.issue("client")
    tls = f'tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", ca_file: "{authority.file}", verify: %s }}'
    demands, checks = place.outer(config=tls % "false"), place.outer(config=tls % "true")
    ca = ["-tls_client_cacert", authority.file]
    place.inner(url_of(demands), *ca)
    place.things.pop().stop()
    place.inner(url_of(checks), *ca, "-secure", "-tls_client_cert", mine[0], "-tls_client_key", mine[1])
    place.things.pop().stop()
    place.inner(url_of(demands), config=f'streaming {{ tls {{ client_ca: "{authority.file}", server_name: localhost }} }}')
    place.things.pop().stop()
    place.inner(url_of(demands), config="streaming { tls { skip_verify: true } }")
    place.things.pop().stop()
    fails(place, "", url_of(demands), "-tls_client_cacert", other.file)
    fails(place, "", url_of(demands), config=f'streaming {{ tls {{ client_ca: "{authority.file}", server_name: elsewhere }} }}')
    fails(place, "", url_of(checks), *ca)
    clear = place.outer()
    fails(place, "", url_of(clear), "-secure")
    fails(place, "", url_of(clear, "u:p@").replace("nats:", "tls:"))  # its login does not go in clear


# ---- what no server should say ----

class Script:
    """A server that says what it is told to; counts who comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.peers = []

    def accept(self, greeting=b'INFO {"max_payload":1048576,"headers":true}\r\n'):
        self.listener.settimeout(stan_client.WAIT)
        peer, _ = self.listener.accept()
        peer.settimeout(stan_client.WAIT)
        self.peers.append(peer)
        peer.sendall(greeting)
        return peer

    def stop(self, _number=None):
        for peer in (*self.peers, self.listener):
            peer.close()


def read_until(peer, what):
    got = b""
    while what not in got:
        more = peer.recv(65536)
        if not more:
            raise Failure(f"the end, before {what!r}: {got!r}")
        got += more
    return got


@case
def whatever_it_says_the_service_stays(place):
    if place.binary != MYELIN:
        return  # no other server takes part
    script = Script()
    place.things.append(script)
    answers = []

    def log_in():
        peer = script.accept()
        line = read_until(peer, b"PING\r\n")
        true(line.startswith(b"CONNECT {") and b'"name":"_NSS-test-cluster-general"' in line, line)
        peer.sendall(b"PONG\r\n")
        if not answers:  # whether somebody else has its cluster id
            got, pattern = b"", rb"PUB _STAN.discover.test-cluster (\S+) \d+\r\n"
            while not re.search(pattern, got):
                got += read_until(peer, b"\r\n")
            probe = re.search(pattern, got)
            peer.sendall(b"HMSG %s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % probe.group(1))
        said = read_until(peer, b"SUB _STAN.close.test-cluster ")
        answers.append(said)
        return peer
    thread = threading.Thread(target=log_in, daemon=True)
    thread.start()
    inner = place.inner(f"nats://127.0.0.1:{script.port}")
    thread.join(stan_client.WAIT)
    peer = script.peers[-1]
    sid = re.search(rb"SUB _STAN.discover.test-cluster (\d+)\r\n", answers[-1]).group(1)
    # Byte by byte, a reply that is a sign elsewhere, an undecodable request: it is answered.
    for byte in b"MSG _STAN.discover.test-cluster %s | 5\r\ndummy\r\n" % sid:
        peer.sendall(bytes([byte]))
    true(b"PUB | " in read_until(peer, b"stan: invalid connection request\r\n"), "the answer's subject")
    peer.sendall(b"PING\r\n")
    read_until(peer, b"PONG\r\n")
    peer.sendall(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\nINFO {\"ldm\":true}\r\n+OK\r\nPING\r\n")
    read_until(peer, b"PONG\r\n")
    for rubbish in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"MSG a 1 99999999999\r\n", b"MSG a 1 3\r\nxyzab",
                    b"INFO {\r\n", b"x" * 300000):
        try:
            peer.sendall(rubbish)
        except OSError:
            pass
        peer = log_in()
    peer.close()
    peer = script.accept(b"INFO {\"tls_required\":true}\r\nMSG a 1 0\r\n\r\n-ERR 'in clear'\r\n")
    equal(peer.recv(1), b"\x16", "the first byte of TLS")
    peer.close()
    peer = script.accept(b"PING\r\nINFO {\"tls_required\":true}\r\n")
    equal(peer.recv(1), b"", "what is said to a server that does not begin with INFO")
    peer.close()
    peer = script.accept(b"-ERR 'Maximum Connections Exceeded'\r\n")
    log_in()
    equal(inner.process.poll(), None, "the server's end")
    true("in clear" not in inner.log(), "what came in clear was believed")


def main():
    global MYELIN  # pylint: disable=global-statement
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("outer", nargs="*")
    parser.add_argument("--only", help="cases with this word in their name")
    options = parser.parse_args()
    MYELIN = Under.binary = os.path.abspath(options.binary)
    passed = failed = 0
    for binary in [MYELIN, *options.outer]:
        for function in CASES:
            if options.only is not None and options.only not in function.__name__:
                continue
            place = Place(os.path.abspath(binary))
            try:
                function(place)
                passed += 1
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                logs = "\n".join(t.log()[-1500:] for t in place.things if isinstance(t, Inner))
                print(f"FAILED {function.__name__} with {binary}: {type(error).__name__}: {error}\n{logs}")
            finally:
                place.end()
    print(f"streaming outside: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
