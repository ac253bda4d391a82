"""tests/tls/rows_attacks.py - peers that mean no good: handshakes that stall, garbage, storms of handshakes and of wrong
passwords. Whoever is connected is served meanwhile, and nothing is kept when they are gone."""
import contextlib
import os
import select
import signal
import socket
import ssl
import struct
import threading

from cases import OWN, ByHand, case, first_flight, served
from server import PATIENCE


def held(run):
    """Descriptors and resident bytes of the server."""
    with open(f"/proc/{run.server.process.pid}/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    return len(os.listdir(f"/proc/{run.server.process.pid}/fd")), resident


def given_back(run, attack):
    """The attack comes twice: afterwards no descriptor is held that was not before, and the second time needs no more
    memory than the first one left behind, but for what allocators keep. (A sanitizer keeps all for a while.)"""
    def descriptors_back():
        for _ in range(int(PATIENCE / 0.05)):
            if held(run)[0] <= before + 3:  # an event or a timer more than at the start
                return
            threading.Event().wait(0.05)
        raise AssertionError(f"{held(run)[0]} descriptors, {before} before")
    before = held(run)[0]
    attack()
    descriptors_back()
    first = held(run)[1]
    attack()
    descriptors_back()
    with open(f"/proc/{run.server.process.pid}/maps", encoding="ascii", errors="replace") as file:
        sanitized = "asan" in (maps := file.read()) or "tsan" in maps
    for _ in range(int(PATIENCE / 0.05)):
        if sanitized or held(run)[1] <= first + 16 * 1024 * 1024:
            return
        threading.Event().wait(0.05)  # what was freed goes back to the kernel a moment later
    raise AssertionError(f"{held(run)[1]} bytes resident, {first} after the first attack")


@case(OWN + "timeout: 5\n")
def a_thousand_handshakes_that_stall_hold_nobody_up(run):
    """Silent ones, half a record, a whole ClientHello and nothing more."""
    client = run.secure().hello()
    hello = first_flight(run.context)

    def attack():
        stalled = []
        for number in range(1000):
            peer = socket.create_connection(("127.0.0.1", run.server.port), timeout=PATIENCE)
            peer.sendall([b"", hello[:20], hello][number % 3])
            stalled.append(peer)
        served(client, 100)
        run.secure().hello().close()
        for peer in stalled:
            peer.close()
    given_back(run, attack)
    served(client, 10)


@case(OWN)
def floods_of_garbage_hold_nobody_up(run):
    """Rubbish, huge record lengths, HTTP, a reset in the middle."""
    client = run.secure().hello()
    rubbish = [os.urandom(4000), b"\x16\x03\x01\xff\xff" + os.urandom(70000), b"GET / HTTP/1.1\r\n\r\n" * 100,
               b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(16000)]

    def attack():
        for number in range(400):
            peer = socket.create_connection(("127.0.0.1", run.server.port), timeout=PATIENCE)
            try:
                peer.sendall(rubbish[number % 4])
            except ConnectionError:
                pass
            if number % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
    given_back(run, attack)
    served(client, 100)
    run.secure().hello()


@case(OWN)
def a_storm_of_whole_handshakes_leaves_others_served(run):
    """Many at once from several threads, while one goes on talking."""
    client = run.secure().hello()
    failures = []

    def storm():
        try:
            for _ in range(60):
                peer = run.secure()
                peer.hello()
                peer.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    def attack():
        threads = [threading.Thread(target=storm) for _ in range(4)]
        for thread in threads:
            thread.start()
        served(client, 200)
        for thread in threads:
            thread.join()
    given_back(run, attack)
    assert not failures, failures


@case(OWN)
def a_broken_record_ends_only_its_own_connection(run):
    """Bytes that were not sealed, in the middle of a conversation."""
    client, other = run.secure().hello(), run.secure().hello()
    raw = socket.socket(fileno=os.dup(client.socket.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    client.rest()
    served(other, 20)
    raw.close()


# ---- what a turn takes: counted, not timed ----

@contextlib.contextmanager
def stopped(process):
    """The server does not run; what is sent meanwhile is all there when it goes on."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def answered(witness):
    """Whether PONG is among what has come; the server's own PING may be, too."""
    witness.socket.settimeout(0)
    try:
        while witness.fill():
            pass
    except (ssl.SSLWantReadError, BlockingIOError):
        pass
    witness.socket.settimeout(PATIENCE)
    return b"PONG\r\n" in witness.buffer


def answered_before(witness, peers, act):
    """How many of the peers are sent something before the witness has its PONG, once the server goes on behind `act`. The
    kernel keeps the order in which an epoll's sockets become readable, however late we look."""
    with select.epoll() as waiting:
        for client in (witness, *peers):
            waiting.register(client.socket.fileno(), select.EPOLLIN | select.EPOLLET)
        early = {descriptor for descriptor, _ in waiting.poll(0)} - {witness.socket.fileno()}
        assert not early, f"{len(early)} peers were sent something before"
        act()
        before = set()
        while True:
            events = waiting.poll(PATIENCE, len(peers) + 1)
            assert events, "the witness is not answered"
            for descriptor, _ in events:
                if descriptor != witness.socket.fileno():
                    before.add(descriptor)
                elif answered(witness):
                    return len(before)


WHY_MYELIN = "elsewhere each connection has a thread of its own, which the scheduler chooses"


@case(OWN + "timeout: 60\n", top="shards: 1", only=["myelin"], why=WHY_MYELIN)
def who_is_connected_is_answered_before_handshakes_that_came_first(run):
    """Two hundred ClientHellos lie there, and a PING behind them: a turn takes few of them. Then all of their last flights,
    and a PING behind those."""
    witness = run.secure().hello()
    served(witness, 3)
    peers = [ByHand(run.open(), run.context) for _ in range(200)]

    def ask(flights):
        with stopped(run.server.process):
            for peer, flight in zip(peers, flights):
                peer.client.send(flight)
            witness.send(b"PING\r\n")

    clients = [peer.client for peer in peers]
    for _ in range(2):
        flights = [peer.flight() for peer in peers]
        before = answered_before(witness, clients, lambda ready=flights: ask(ready))
        assert before <= len(peers) / 2, f"{before} of {len(peers)} were served first"
        witness.expect(b"PONG")
    for peer in peers:
        assert b"PONG" in peer.ask(b"PING\r\n", b"PONG")


STORM = "authorization { timeout: 60, users: [ {user: plain, password: secret}, " \
        "{user: hashed, password: \"$2a$11$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"} ] }\n"


@case(None, top=STORM + "shards: 1", only=["myelin"], why=WHY_MYELIN)
def who_is_connected_is_answered_before_passwords_that_came_first(run):
    """A hundred and fifty wrong passwords for a hash that takes a tenth of a second each, and a PING behind them. The end of
    the server does not wait for those that are left."""
    witness = run.open().hello(user="plain", **{"pass": "secret"})
    served(witness, 3)
    peers = [run.open() for _ in range(150)]

    def ask():
        with stopped(run.server.process):
            for peer in peers:
                peer.login(user="hashed", **{"pass": "wrong"})
            witness.send(b"PING\r\n")

    before = answered_before(witness, peers, ask)
    assert before <= 30, f"{before} of {len(peers)} were judged first"
    witness.expect(b"PONG")
    served(witness, 20)
    peers[0].expect(b"-ERR 'Authorization Violation'")
