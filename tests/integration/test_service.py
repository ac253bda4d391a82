#!/usr/bin/env python3
"""tests/integration/test_service.py SERVER - what a service manager is told: systemd's protocol, with a socket of the test's.

Also what the unit promises: SIGHUP reloads, SIGUSR2 goes through lame duck mode, SIGINT ends at once.
"""
import os
import re
import signal
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import PATIENCE, Client, Server  # noqa: E402

GOOD, BETTER, BAD = 'ping_max: 3\n', 'ping_max: 4\n', 'ping_max: []\n'
RELOADING = r"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=.+"
READY = r"READY=1\nSTATUS=.+"
STOPPING = r"STOPPING=1\nSTATUS=.+"


class Manager:
    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(self.path)
        os.environ["NOTIFY_SOCKET"] = self.path

    def told(self, pattern):
        said = self.socket.recv(4096).decode()
        assert re.fullmatch(pattern, said), f"{said!r} is not {pattern}"

    def silent(self):
        self.socket.setblocking(False)
        try:
            raise AssertionError(f"{self.socket.recv(4096)!r} behind the end")
        except BlockingIOError:
            pass
        self.socket.close()
        os.unlink(self.path)


def life(program, folder):
    """From the start over good and bad reloads to a clean stop."""
    manager = Manager(folder)
    server = Server(program, folder, GOOD)
    manager.told(READY)
    Client(server).hello().close()  # whoever is told may connect
    for text in (BETTER, BAD, GOOD):
        server.write(text)
        server.process.send_signal(signal.SIGHUP)
        manager.told(RELOADING)
        manager.told(READY)
    server.process.send_signal(signal.SIGINT)
    manager.told(STOPPING)
    assert server.process.wait(PATIENCE) == 0
    server.ended = True
    assert server.stop() is None
    manager.silent()


def lame_duck(program, folder):
    """Stopping is told when it begins; a reload is refused then, and nobody is told of that."""
    manager = Manager(folder)
    server = Server(program, folder, GOOD + 'lame_duck_duration: "30s", lame_duck_grace_period: "29s"\n')
    manager.told(READY)
    client = Client(server).hello()
    server.process.send_signal(signal.SIGUSR2)
    manager.told(STOPPING)
    while not client.read_info().get("ldm"):
        pass  # an INFO comes behind the first PONG too
    server.process.send_signal(signal.SIGHUP)
    server.expect("Failed to reload server configuration: the server is about to stop")
    client.close()  # the last one: there is nobody to wait for
    manager.told(STOPPING)
    assert server.process.wait(PATIENCE) == 0
    server.ended = True
    assert server.stop() is None
    manager.silent()


def nobody(program, folder):
    """A manager that is not there does no harm."""
    os.environ["NOTIFY_SOCKET"] = os.path.join(folder, "nowhere")
    server = Server(program, folder, GOOD)
    server.reload(BETTER)
    assert server.stop() is None


def main():
    passed = failed = 0
    for scenario in (life, lame_duck, nobody):
        with tempfile.TemporaryDirectory() as folder:
            try:
                scenario(os.path.abspath(sys.argv[1]), folder)
                passed += 1
            except (AssertionError, OSError) as error:
                failed += 1
                print(f"FAILED {scenario.__name__}: {str(error)[:3000]}\n{Server.abandon()}")
    print(f"service: {passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
