"""tests/tls/cases.py - the vocabulary of the rows: `case` says with which server a function runs, and Run is what it is
given. rows_*.py are the rows, run.py runs them."""
import os
import re
import socket
import ssl
import subprocess
import threading

from authority import Authority
from server import PATIENCE, Client, trust

CASES = []
TLS_ERRORS = (ssl.SSLError, ConnectionError)
NEW = "newer servers only"


def case(block, top="", only=None, why="", needs_bench=False):
    """A case with a server whose `tls` block is this (None: a server in clear); {ca} {server} and so on stand for files."""
    def add(function):
        CASES.append((function.__name__, function, block, top, only, why, needs_bench))
        return function
    return add


def case_in(world_of, only=None, why=""):
    """A case that is given a world made of its run, whose responder is closed at the end; its first server, in clear, is not
    used."""
    def add(function):
        def with_world(run):
            world = world_of(run)
            try:
                function(world)
            finally:
                world.responder.close()
        with_world.__name__, with_world.__doc__ = function.__name__, function.__doc__
        return case(None, only=only, why=why)(with_world)
    return add


class Run:
    """What a case has: the server, authorities, contexts."""

    def __init__(self, program, folder):
        self.program, self.folder, self.server = program, folder, None
        self.bench = os.environ.get("MYELIN_BENCH")
        self.ca, self.other = Authority(folder), Authority(folder, "other")
        self.files = {"ca": self.ca.file, "other": self.other.file}
        self.identities = {}
        self.issue(self.ca, "server", names="DNS:localhost,IP:127.0.0.1")
        self.issue(self.ca, "second", names="DNS:second.test,IP:127.0.0.1")
        self.issue(self.ca, "rsa", names="DNS:localhost,IP:127.0.0.1", rsa=True)
        self.issue(self.ca, "alice", "/C=DE/O=Org/CN=alice", "email:alice@test,DNS:alice.test,URI:spiffe://test/alice")
        self.issue(self.ca, "bob")
        self.issue(self.other, "rogue")
        self.files["pin_alice"] = self.ca.pin("alice").upper()
        self.context = trust(self.ca)

    def issue(self, authority, name, subject=None, names=None, rsa=False):
        self.identities[name] = authority.issue(name, subject, names, rsa)
        self.files[name], self.files[name + "_key"] = self.identities[name]

    def as_(self, name):
        return trust(self.ca, self.identities[name])

    def configuration(self, block, top=""):
        """The file. A loaded machine may need more than the two seconds that a handshake has by default."""
        if block is not None and "timeout:" not in block:
            block += "timeout: 20\n"
        text = top + "\n" + ("" if block is None else "tls {\n" + block + "\n}\n")
        return re.sub(r"\{(\w+)\}", lambda match: '"%s"' % self.files[match.group(1)], text)

    def open(self, first=False):
        return Client(self.server, first)

    def secure(self, context=None, **arguments):
        return self.open(**arguments).secure(context or self.context)

    def says_of(self, block, top=""):
        """What the program prints of such a file at -t, and its exit code."""
        path = os.path.join(self.server.folder, "asked.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.configuration(block, top))
        done = subprocess.run([self.program, "-t", "-c", path], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        return done.returncode, done.stdout + done.stderr


OWN = "cert_file: {server}, key_file: {server_key}\n"
VERIFY = OWN + "ca_file: {ca}, verify: true\n"


def refused(action):
    """The action ends in an error of TLS or the connection, or finds the end."""
    try:
        result = action()
    except TLS_ERRORS:
        return
    except AssertionError as error:
        if "the end instead of a line" in str(error):
            return
        raise
    raise AssertionError(f"not refused: {result!r}")


def served(client, rounds):
    """The client publishes and gets it back, `rounds` times."""
    client.send(b"SUB echo 9\r\n")  # the same one each time
    for number in range(rounds):
        client.send(b"PUB echo 4\r\n%04d\r\n" % number)
        client.expect(b"MSG echo 9 4", b"%04d" % number)


def first_flight(context, host="localhost"):
    """The ClientHello, as the records that carry it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class ByHand:
    """The client's side of TLS over a connection, with every byte in our hands: `pack` makes of what is to be sent the
    pieces that are sent."""

    def __init__(self, client, context, pack=lambda data: [data]):
        self.client, self.pack = client, pack
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def flush(self):
        data = self.outgoing.read()
        for piece in self.pack(data) if data else ():
            self.client.send(piece)

    def step(self, action):
        """Tries the action, and flushes; fetches more until it is done."""
        while True:
            try:
                result = action()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.fetch()

    def fetch(self):
        data = self.client.socket.recv(65536)
        assert data, "the end in the middle"
        self.incoming.write(data)

    def flight(self):
        """What is to be sent next in the handshake, not sent yet; waits for what the server has to say before."""
        while True:
            try:
                self.tls.do_handshake()
                return self.outgoing.read()
            except ssl.SSLWantReadError:
                if data := self.outgoing.read():
                    return data
                self.fetch()

    def shake(self):
        self.step(self.tls.do_handshake)
        return self

    def ask(self, line, wanted):
        """Sends the line, reads until `wanted` is there."""
        self.tls.write(line)
        self.flush()
        heard = b""
        while wanted not in heard:
            heard += self.step(lambda: self.tls.read(65536))
        return heard


class Bridge:
    """A port for one peer that knows nothing of INFO: takes that line off, and passes on everything behind it."""

    def __init__(self, server, first=False):
        self.server, self.first, self.failure = server, first, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            near, _ = self.listener.accept()
            near.settimeout(PATIENCE)
            far = Client(self.server, self.first).socket
            back = threading.Thread(target=self.pass_on, args=(far, near), daemon=True)
            back.start()
            self.pass_on(near, far)
            back.join(PATIENCE)
            near.close()
            far.close()
        except (OSError, AssertionError) as error:
            self.failure = error

    @staticmethod
    def pass_on(source, destination):
        try:
            while data := source.recv(65536):
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them has cut the connection: the other sees its end
        finally:
            try:
                destination.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.thread.join(PATIENCE)
        if self.failure:
            raise AssertionError(f"the bridge: {self.failure!r}")


def s_client(run, *arguments, text=b"", first=False):
    """`openssl s_client` told this on its standard input; what it printed, both outputs."""
    bridge = Bridge(run.server, first)
    try:
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{bridge.port}", "-CAfile", run.ca.file,
                               *arguments], input=text, capture_output=True, timeout=PATIENCE, check=False)
    finally:
        bridge.close()
    return (done.stdout + done.stderr).decode(errors="replace")
