"""tests/tls/server.py - a server process for the suites of TLS, and clients that speak to it byte by byte."""
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

PATIENCE = 15  # seconds, for what must come


class Server:
    """`program` with a configuration; its log is read by a thread, so that lines can be waited for."""

    running = []  # those that nobody has stopped yet: what is left of a case that failed

    def __init__(self, program, folder, configuration, flags=None):
        self.folder, self.path = folder, os.path.join(folder, "server.conf")
        self.lines, self.changed = [], threading.Condition()
        self.ended = False  # the case has ended it
        self.write(configuration)
        self.process = subprocess.Popen([program, *(["-a", "127.0.0.1", "-p", "-1", "-D"] if flags is None else flags), "-c", self.path,
                                         *os.environ.get("MYELIN_FLAGS", "").split()],
                                        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        Server.running.append(self)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        line = self.expect("Listening for client connections on ")
        self.port = int(line.rsplit(":", 1)[1])
        self.expect("Server is ready")

    def write(self, configuration):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(configuration)

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(end of the log)")
            self.changed.notify_all()

    def expect(self, *texts):
        """Waits for a line that holds one of the texts; the line."""
        def find():
            return next((line for line in self.lines if any(text in line for text in texts)), None)
        with self.changed:
            self.changed.wait_for(lambda: find() or "(end of the log)" in self.lines, PATIENCE)
            line = find()
            if line is None:
                raise AssertionError(f"no line {texts} in the log:\n" + "\n".join(self.lines))
            return line

    def expect_count(self, text, count):
        """Waits until so many lines hold the text."""
        with self.changed:
            if not self.changed.wait_for(lambda: sum(text in line for line in self.lines) >= count, PATIENCE):
                raise AssertionError(f"not {count} lines with {text!r} in the log:\n" + "\n".join(self.lines))

    def count(self, text):
        with self.changed:
            return sum(text in line for line in self.lines)

    def reloaded(self, configuration):
        """Has it read this; the line that says what came of it."""
        before = len(self.lines)

        def said():
            return next((line for line in self.lines[before:]
                         if "Reloaded server configuration" in line or "Failed to reload" in line), None)
        self.write(configuration)
        self.process.send_signal(signal.SIGHUP)
        with self.changed:
            self.changed.wait_for(said, PATIENCE)
            if said() is None:
                raise AssertionError("no reload:\n" + "\n".join(self.lines))
            return said()

    def reload(self, configuration):
        """Returns when the new configuration is in force on every shard."""
        line = self.reloaded(configuration)
        if "Reloaded server configuration" not in line:
            raise AssertionError("no reload:\n" + "\n".join(self.lines))

    def stop(self):
        """Asks it to end; what is wrong with how it does, or None."""
        Server.running.remove(self)
        if self.process.poll() is not None and not self.ended:
            return f"the server has died with {self.process.returncode}"
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        # 1 is how old nats-servers end; a sanitizer that has found something has a code of its own.
        return None if self.process.returncode in (0, 1) else f"the server ended with {self.process.returncode}"

    @classmethod
    def abandon(cls):
        """Kills those that are left; the last lines of their logs."""
        lines = []
        for server in cls.running:
            server.process.kill()
            server.process.wait()
            server.reader.join()
            lines += server.lines[-20:]
        cls.running.clear()
        return "\n".join(lines)


class Client:
    """A connection in clear that may become one with TLS. Every wait ends after PATIENCE."""

    def __init__(self, server, first=False):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.info = b"", None
        if not first:
            self.read_info()

    def read_info(self):
        line = self.line()
        if not line.startswith(b"INFO "):
            raise AssertionError(f"no INFO but {line!r}")
        self.info = json.loads(line[5:])
        return self.info

    def secure(self, context, host="localhost", session=None):
        """Shakes hands; what TLS says against it comes as ssl.SSLError or OSError."""
        if self.buffer:
            raise AssertionError(f"{self.buffer!r} came before the handshake")
        self.socket = context.wrap_socket(self.socket, server_hostname=host, session=session)
        return self

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return len(data) > 0

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise AssertionError(f"the end instead of a line, behind {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def expect(self, *lines):
        """These lines come next; an INFO behind the first PONG does not count."""
        for wanted in lines:
            line = self.line()
            while line == b"PING" or (line.startswith(b"INFO ") and not wanted.startswith(b"INFO")):
                if line == b"PING":
                    self.send(b"PONG\r\n")
                line = self.line()
            if line != wanted:
                raise AssertionError(f"{line!r} instead of {wanted!r}")

    def login(self, **options):
        self.send(b"CONNECT " + json.dumps(dict({"verbose": False, "protocol": 1}, **options)).encode() +
                  b"\r\nPING\r\n")
        return self

    def hello(self, **options):
        self.login(**options).expect(b"PONG")
        return self

    def rest(self):
        """Everything up to the end, however that comes about."""
        try:
            while self.fill():
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        return self.buffer

    def close(self):
        self.socket.close()


def trust(authority, identity=None, **versions):
    context = ssl.create_default_context(cafile=authority.file)
    if identity:
        context.load_cert_chain(*identity)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def run_scenarios(title, scenarios, programs):
    """Each of them with each program, in a folder of its own; the exit code."""
    failed = 0
    for program in programs:
        for scenario in scenarios:
            with tempfile.TemporaryDirectory(prefix="myelin-scenario-") as folder:
                try:
                    scenario(program, folder)
                except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f"FAILED {scenario.__name__} with {program}: {str(error)[:2000]}\n{Server.abandon()}")
    count = len(scenarios) * len(programs)
    print(f"{title}: {count - failed} passed, {failed} failed")
    return 1 if failed or count == 0 else 0


def end(title, passed, failed):
    """Says what came of a suite, and ends the process: threads of a failed load may wait for a server that goes on."""
    Server.abandon()
    print(f"{title}: {passed} passed, {failed} failed")
    sys.stdout.flush()
    os._exit(1 if failed or passed == 0 else 0)
