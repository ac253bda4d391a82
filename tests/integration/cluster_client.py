"""tests/integration/cluster_client.py - a NATS client that keeps what it is sent, and servers that form a cluster.

Many clients are read together by pump(), so that a test waits for what it wants to see and never for a time.
"""
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

WAIT_SECONDS = 30  # generous: it only ends tests that fail
PORTS = range(10000, 30000)  # below those that the kernel gives to outgoing connections


class Failure(Exception):
    """A test has found something wrong."""


class Message:
    """One delivery."""

    def __init__(self, subject, sid, reply, header, body):
        self.subject, self.sid, self.reply, self.header, self.body = subject, sid, reply, header, body


class Client:
    """One connection. Lines go out at once; deliveries gather in `messages` while somebody pumps."""

    def __init__(self, node, user="app"):
        self.node = node
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=WAIT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.messages = []
        self.pongs = 0
        self.errors = []
        self.info = b""
        self.infos = []
        self.next_sid = 1
        self.closed = False
        self.send(b'CONNECT {"verbose":false,"protocol":1,"headers":true,"no_responders":true,'
                  b'"user":"%s","pass":"%s"}\r\nPING\r\n' % (user.encode(), user.encode()))
        pump([self], lambda: self.pongs == 1)

    def send(self, data):
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.sendall(data)

    def subscribe(self, subject, queue=None):
        sid = self.next_sid
        self.next_sid += 1
        self.send(b"SUB %s%s %d\r\n" % (subject.encode(), b" " + queue.encode() if queue else b"", sid))
        return sid

    def unsubscribe(self, sid):
        self.send(b"UNSUB %d\r\n" % sid)

    def publish(self, subject, body, reply=None, header=None):
        middle = b" " + reply.encode() if reply else b""
        if header is None:
            self.send(b"PUB %s%s %d\r\n%s\r\n" % (subject.encode(), middle, len(body), body))
        else:
            self.send(b"HPUB %s%s %d %d\r\n%s%s\r\n" % (subject.encode(), middle, len(header), len(header) + len(body),
                                                        header, body))

    def flush(self):
        wanted = self.pongs + 1
        self.send(b"PING\r\n")
        pump([self], lambda: self.pongs >= wanted)

    def close(self):
        self.closed = True
        self.socket.close()

    def read(self):
        """Takes what has come; whole operations are kept."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self.buffer += data
        at = 0
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                break
            after = self.take(self.buffer[at:end], end + 2)
            if after is None:
                break
            at = after
        self.buffer = self.buffer[at:]

    def take(self, line, body_at):
        """One operation; where the next one begins, or None when its body is not here yet."""
        words = line.split()
        name = words[0] if words else b""
        if name in (b"MSG", b"HMSG"):
            total = int(words[-1])
            if len(self.buffer) < body_at + total + 2:
                return None
            data = self.buffer[body_at:body_at + total]
            header_bytes = int(words[-2]) if name == b"HMSG" else 0
            has_reply = len(words) == (6 if name == b"HMSG" else 5)
            self.messages.append(Message(words[1].decode(), int(words[2]), words[3].decode() if has_reply else None,
                                         data[:header_bytes] or None, data[header_bytes:]))
            return body_at + total + 2
        if name == b"PONG":
            self.pongs += 1
        elif name == b"PING":
            self.send(b"PONG\r\n")
        elif name == b"-ERR":
            self.errors.append(line)
        elif name == b"INFO":
            self.info = line
            self.infos.append(line)
        return body_at


def pump(clients, done, again=None, pause=0.05):
    """Reads for all clients until done(). `again` is called now and then: what has to be tried until it works."""
    end = time.monotonic() + WAIT_SECONDS
    next_again = 0
    while not done():
        now = time.monotonic()
        if now > end:
            raise Failure("waited in vain")
        if again and now >= next_again:
            again()
            next_again = now + pause
        poll, by_number = select.poll(), {}  # select() cannot wait for more than a thousand
        for client in clients:
            if not client.closed:
                by_number[client.socket.fileno()] = client
                poll.register(client.socket, select.POLLIN)
        for number, _ in poll.poll(pause * 1000):
            by_number[number].read()


TAKING = threading.Lock()


def free_ports(count, taken=[os.getpid() * 7919 % len(PORTS)]):
    """So many ports that nobody listens on; no two callers in this process get the same."""
    with TAKING:
        return find_ports(count, taken)


RESERVED = []  # sockets by which a port is this process's until it ends, while other suites look for theirs


def reserve(port):
    """Whether no other process of these tests has taken the port: a name without a file, which goes with its process."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind("\0myelin-test-port-%d" % port)
    except OSError:
        mark.close()
        return False
    RESERVED.append(mark)
    return True


def find_ports(count, taken):
    found = []
    while len(found) < count:
        taken[0] = (taken[0] + 1) % len(PORTS)
        if not reserve(PORTS[taken[0]]):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", PORTS[taken[0]]))
            except OSError:
                continue
        found.append(PORTS[taken[0]])
    return found


ACCOUNTS = """
accounts {
    APP { users = [ {user: app, password: app} ] }
    OTHER { users = [ {user: other, password: other} ] }
    SVC {
        users = [ {user: svc, password: svc} ]
        exports = [ {service: "svc.req"}, {stream: "st.>"} ]
    }
    CLI {
        users = [ {user: cli, password: cli} ]
        imports = [ {service: {account: SVC, subject: "svc.req"}, to: "my.req"},
                    {stream: {account: SVC, subject: "st.>"}, prefix: "imp"} ]
    }
}
"""


class Node:
    """One server process with a client port and a route port."""

    def __init__(self, path, name, port, cluster_port, arguments=(), extra="", accounts=ACCOUNTS):
        self.path, self.name, self.port, self.cluster_port = path, name, port, cluster_port
        self.arguments, self.extra, self.accounts = list(arguments), extra, accounts
        self.routes = []
        self.login = ""  # for the others: user:password@
        self.cluster_name = "C"  # None: it makes one up
        self.process = None
        self.log = None
        self.config = None

    def configuration(self):
        routes = ", ".join(f'"nats-route://{self.login}127.0.0.1:{port}"' for port in self.routes)
        name = f"name: {self.cluster_name}" if self.cluster_name else ""
        return (f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\n{self.accounts}\n'
                f'cluster {{\n {name}\n listen: "127.0.0.1:{self.cluster_port}"\n routes: [{routes}]\n'
                f'{self.extra}\n}}\n')

    def reload(self):
        """Writes the file anew and has it read; the log's lines since then. Whether it was taken or refused."""
        with open(self.config.name, "w", encoding="utf-8") as file:
            file.write(self.configuration())
        before = len(self.said())
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + WAIT_SECONDS
        while True:
            said = self.said()[before:]
            taken = re.search(r"\] Reloaded server configuration.*\n", said)
            if taken or re.search(r"Failed to reload.*\n", said):
                return bool(taken), said
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"{self.name} does not reload: {self.said()[-2000:]}")
            time.sleep(0.01)

    def start(self):
        self.config = tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False)
        self.config.write(self.configuration())
        self.config.close()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([self.path, "-c", self.config.name] + self.arguments,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Failure(f"{self.name} does not start: {self.said()}") from None
                time.sleep(0.01)

    def said(self):
        """What it has logged. Without moving the place where the server, which shares it, writes."""
        descriptor = self.log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def stop(self, number=signal.SIGTERM):
        """Ends it; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout=WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure(f"{self.name} does not end") from None
        code = self.process.returncode
        self.process = None
        os.unlink(self.config.name)
        return code


def until_said(node, pattern, count=1):
    """Waits until the node's log has so many places that match."""
    end = time.monotonic() + WAIT_SECONDS
    while len(re.findall(pattern, node.said())) < count:
        if time.monotonic() > end:
            raise Failure(f"{node.name} does not say {pattern} {count} times: {node.said()[-2000:]}")
        time.sleep(0.01)


class Nodes:
    """Servers that start and end together; a subclass makes `nodes`."""

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            if kind is not None and node.process is not None:
                print(f"---- {node.name} ({node.path})\n{node.said()[-3000:]}", file=sys.stderr)
            code = node.stop(signal.SIGINT if kind is None else signal.SIGKILL)
            if kind is None and code not in (0, 1):
                raise Failure(f"{node.name} ended with {code}")
