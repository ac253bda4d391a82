#!/usr/bin/env python3
"""tests/integration/test_reload_dials.py SERVER - reloads of what concerns the dials of routes and gateways, and slow routes.

Method: each case has a server or two with messages that never stop, and what is in force shows in what a scripted peer
sees and in what is logged about attempts. Attempts come a second apart: those of another address, which the change does
not concern, count the time. All cases run at once, for they wait more than they work. With nats-server as SERVER they
prove themselves.
"""
import argparse
import concurrent.futures
import os
import re
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from cluster_client import ACCOUNTS, WAIT_SECONDS, Failure, free_ports, until_said  # noqa: E402
from test_reload_cluster import Flow, Listener, Servers, reloaded  # noqa: E402
from test_routes import World, connect_line, expect, info_line, linked  # noqa: E402

DEBUG = ACCOUNTS + "debug: true\n"


class Dead:
    """An address that refuses, and what is logged about dials to it."""

    def __init__(self, node):
        self.node, self.socket = node, socket.socket()
        self.socket.bind(("127.0.0.1", 0))  # nobody else gets it, and nobody listens
        self.port = self.socket.getsockname()[1]

    def levels(self):
        """Of the lines about its attempts, one after the other. The newest nats-server makes some twice, for its pool."""
        found = re.findall(r"\[(ERR|DBG)\] Error (?:trying to connect|connecting) to .*\(attempt (\d+)\): dial tcp 127\.0\.0\.1:%d:" % self.port,
                           self.node.said())
        by_number = {int(number): level for level, number in found}
        return [by_number[number] for number in sorted(by_number)]

    def until(self, count):
        """Waits for so many attempts; the level of the last."""
        end = time.monotonic() + WAIT_SECONDS
        while len(self.levels()) < count:
            if time.monotonic() > end:
                raise Failure(f"no further dial of {self.port}: {self.levels()}")
            time.sleep(0.01)
        return self.levels()[count - 1]

    def at(self, number):
        """When that attempt was over, by the log, in seconds of the day."""
        found = re.search(r" (\d+):(\d+):(\d+\.\d+) .*\(attempt %d\): dial tcp 127\.0\.0\.1:%d:" % (number, self.port), self.node.said())
        return int(found.group(1)) * 3600 + int(found.group(2)) * 60 + float(found.group(3))

    def next(self, more=1):
        return self.until(len(self.levels()) + more)


def loaded(path, case, accounts=DEBUG):
    """A server with traffic through it. nats-server loses some of that while it reloads."""
    with World(path, accounts=accounts) as world:
        world.closers = []
        flow = Flow(world.node, world.node) if world.ours else None
        case(world)
        if flow is not None:
            flow.finish()


def case_connect_error_reports(path):
    """The first attempt is an error, and each so many'th: of routes and of gateways."""
    ports = free_ports(2)
    gateway = f'gateway {{ name: C, listen: "127.0.0.1:{ports[0]}", gateways: [ {{name: H, url: "nats://127.0.0.1:PORT"}} ] }}\n'

    def case(world):
        route = Dead(world.node)
        reloaded(world.node, "Reloaded: cluster routes", routes=[route.port])
        there.node = world.node
        for dead in (route, there):
            dead.until(2)
            expect("levels", ["ERR", "DBG"], dead.levels()[:2])
        for every, level in ((1, "ERR"), (3600, "DBG")):
            reloaded(world.node, f"connect_error_reports = {every}", accounts=text + f"connect_error_reports: {every}\n")
            for dead in (route, there):
                expect(f"the level with {every}", level, dead.next())
    there = Dead(None)
    text = DEBUG + gateway.replace("PORT", str(there.port))
    loaded(path, case, text)


def unpooled_reconnect_error_reports(path):
    """Of one that was connected each attempt is an error, unless the file says otherwise. The newest nats-server may be
    dialling for its pool meanwhile."""
    def case(world):
        listener = Listener(world, "F")
        reloaded(world.node, "Reloaded: cluster routes", routes=[listener.port])
        peer = listener.accept()
        listener.socket.close()
        lost = Dead(world.node)
        lost.port = listener.port
        peer.close()
        lost.until(2)
        expect("levels", ["ERR", "ERR"], lost.levels()[:2])
        for every, level in ((3600, "DBG"), (1, "ERR")):
            reloaded(world.node, f"reconnect_error_reports = {every}", accounts=DEBUG + f"reconnect_error_reports: {every}\n")
            expect(f"the level with {every}", level, lost.next())
    loaded(path, case)


def case_connect_retries(path):
    """How often one is dialled that a member has told of; a configured one is dialled for ever, and counts the time."""
    def case(world):
        clock, told = Dead(world.node), []
        reloaded(world.node, "Reloaded: cluster routes", routes=[clock.port])
        member = world.member("F")
        for letter, retries in (("G", 0), ("H", 1), ("I", 0)):
            if letter != "G":
                reloaded(world.node, "Reloaded: cluster\n", extra=f" connect_retries: {retries}")
            told.append(Dead(world.node))
            port = told[-1].port
            member.send(info_line(letter * 56, port=port, ip=f"nats-route://127.0.0.1:{port}/"))
            told[-1].until(1 + retries)
        clock.next(2)
        expect("attempts", [1, 2, 1], [len(dead.levels()) for dead in told])
        expect("the member is there", True, member.open_after(b""))
    loaded(path, case)


def ours_connect_backoff(path):
    """Pauses that double, as long as the option says so: no timer is early. nats-server keeps the pauses with which a
    dial has begun."""
    with Servers([path, path], accounts=DEBUG) as (one, other):
        flow, dead, clock = Flow(one, one), Dead(one), Dead(other)
        clock.port = dead.port
        for node in (one, other):
            reloaded(node, "Reloaded: cluster routes", routes=[dead.port])
        dead.until(1)
        reloaded(one, "Reloaded: cluster\n", extra=" connect_backoff: true")
        dead.until(2)
        reloaded(one, "Reloaded: cluster\n", extra="")
        dead.until(3)
        pause = (dead.at(3) - dead.at(2)) % 86400
        expect(f"the pause is longer: {pause}", True, pause > 1.9)
        before = len(clock.levels())
        dead.until(4)
        expect("a second's attempts of another server, not four seconds'", True, len(clock.levels()) - before < 4)
        flow.finish()


def newer_write_deadline_and_timeout(path):
    """A peer that reads nothing before the deadline is over, which is in the line about it: then it is closed, or may
    read on and misses nothing."""
    def case(world):
        client = world.client()
        body = b"x" * 100000
        for letter, deadline, timeout in (("F", "1.5s", "retry"), ("G", "900ms", "close"), ("H", "1.4s", "retry")):
            reloaded(world.node, "Reloaded: cluster\n", extra=f' write_deadline: "{deadline}", write_timeout: {timeout}')
            peer = world.member(letter)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            peer.send(b"RS+ APP bulk.%s\r\nRS+ APP begin.%s\r\n" % (letter.encode(), letter.encode()))
            peer.until_message(client, f"begin.{letter}")
            for number in range(200):
                client.publish(f"bulk.{letter}", body + b"%d" % number)
            until_said(world.node, f"Slow Consumer Detected: WriteDeadline of {re.escape(deadline)} exceeded with ")
            if timeout == "close":
                until_said(world.node, r"Router connection closed: Slow Consumer \(Write Deadline\)")
                continue
            for number in range(200):
                peer.until(r"^RMSG APP bulk.%s \d+$" % letter)
                expect("the body", body + b"%d" % number, peer.body(100000 + len(str(number))))
            expect("the slow one is there", True, peer.open_after(b""))
        client.close()
    loaded(path, case)


def case_authorization_timeout(path):
    """Who says nothing is ended by that of the options under which he came."""
    def login(timeout):
        return f" authorization {{ user: u, password: p, timeout: {timeout} }}"

    def case(world):
        reloaded(world.node, "Reloaded: cluster\n", extra=login(20))
        early = world.dial()
        reloaded(world.node, "Reloaded: cluster\n", extra=login(0.4))
        expect("told", True, b"-ERR 'Authentication Timeout'" in world.dial().ends())
        reloaded(world.node, "Reloaded: cluster\n", extra=login(20))
        for letter, peer in (("F", early), ("G", world.dial())):
            peer.send(connect_line(letter * 56, user="u", **{"pass": "p"}) + info_line(letter * 56))
            expect(f"{letter} may come", True, peer.open_after(b""))
    loaded(path, case)


def case_tls_of_a_remote_gateway(path):
    """What is shown to another cluster and asked of it: with the old authority it cannot be reached, with the new one it
    can, and who was connected stays."""
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        authorities = [Authority(folder) for folder in (one, two)]
        pairs = [authority.issue("node", names="IP:127.0.0.1") for authority in authorities]
        old, new = [f'tls {{ cert_file: "{pair[0]}", key_file: "{pair[1]}", ca_file: "{authority.file}", timeout: 30 }}'
                    for authority, pair in zip(authorities, pairs)]

        def block(number, own, remote):
            return (f'gateway {{\n name: G{number}\n listen: "127.0.0.1:{ports[number]}"\n {own}\n'
                    f' gateways: [ {{ name: G{1 - number}, url: "nats://127.0.0.1:{ports[1 - number]}", {remote} }} ]\n}}\n') + DEBUG
        world = Servers([path, path])
        for number, node in enumerate(world.nodes):
            node.cluster_name = f"G{number}"
        world.nodes[0].accounts, world.nodes[1].accounts = block(0, old, old), block(1, new, old)
        with world as (here, other):
            linked(other, here)
            flow = Flow(other, here) if here.ours else None
            until_said(here, "TLS .*handshake error")
            expect("reached with the old one", None, re.search(r'Outbound gateway connection to "G1" .* registered', here.said()))
            reloaded(here, accounts=block(0, old, new))
            linked(here, other)
            reloaded(here, accounts=block(0, old, old))
            linked(here, other)  # who is connected stays
            linked(other, here)
            if flow is not None:
                flow.finish()


def attempt(path, name, case):
    began = time.monotonic()
    try:
        case(path)
        print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    except (Failure, OSError) as failure:
        print(f"FAILED {name}: {failure}", flush=True)
        return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    path = os.path.abspath(arguments.server)
    ours = "myelin" in os.path.basename(path)
    newest = "current" in path
    kinds = ("case_",) + (("newer_",) if ours or newest else ()) + (("ours_",) if ours else ()) + (() if newest else ("unpooled_",))
    cases = [(name, case) for name, case in sorted(globals().items()) if arguments.only in name and name.startswith(kinds)]
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        results = list(pool.map(lambda named: attempt(path, *named), cases))
    failed = results.count(False)
    print(f"reload of dials: {len(results) - failed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(1 if failed or not results else 0)  # a flow of a failed case may go on


if __name__ == "__main__":
    main()
