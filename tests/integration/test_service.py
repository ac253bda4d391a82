#!/usr/bin/env python3
"""tests/integration/test_service.py SERVER - what a service manager is told: systemd's protocol, with a socket of the test's.

Also what the unit promises: SIGHUP reloads, SIGUSR2 goes through lame duck mode, SIGINT ends at once; and what becomes
of a server that a unit keeps from asking for the host's addresses.
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


# Before the server: each socket() of AF_NETLINK (16) is refused, as a unit's RestrictAddressFamilies does it.
WITHOUT_NETLINK = """#!PYTHON -B
import ctypes, errno, os, platform, struct, sys

class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("rows", ctypes.c_char_p)]

number = {"x86_64": 41, "aarch64": 198}[platform.machine()]  # socket()
rows = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, 16),
        (0x06, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (0x06, 0, 0, 0x7fff0000)]
code = b"".join(struct.pack("HBBI", *row) for row in rows)
prctl = ctypes.CDLL(None, use_errno=True).prctl
none = ctypes.c_ulong(0)
assert prctl(38, ctypes.c_ulong(1), none, none, none) == 0  # no new privileges
assert prctl(22, ctypes.c_ulong(2), ctypes.byref(Program(len(rows), code)), none, none) == 0, ctypes.get_errno()
os.execv("SERVER", ["SERVER", *sys.argv[1:]])
"""
EVERYWHERE = """
ports_file_dir: "FOLDER"
cluster { name: C, listen: "127.0.0.1:-1" }
gateway { name: C, listen: "0.0.0.0:-1" }
"""
UNKNOWN = "Addresses of the interfaces are unknown"


def no_addresses(program, folder):
    """A unit that does not let the interfaces be asked for: the log says so once in each place, the server goes on."""
    os.environ.pop("NOTIFY_SOCKET", None)
    wrapper = os.path.join(folder, "wrapper")
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(WITHOUT_NETLINK.replace("PYTHON", sys.executable).replace("SERVER", program))
    os.chmod(wrapper, 0o755)
    configuration = EVERYWHERE.replace("FOLDER", folder)
    for path, count in ((wrapper, 1), (program, 0)):
        server = Server(path, folder, configuration, ["-a", "0.0.0.0", "-p", "-1"])
        Client(server).hello().close()
        for place in ("clients of the cluster are told none", "gateways are told 127.0.0.1", "the ports file lists none"):
            if count > 0:
                server.expect(f"[WRN] {UNKNOWN}, {place}: address family not supported by protocol")
            assert server.count(f"{UNKNOWN}, {place}") == count, server.lines
        assert server.stop() is None


def main():
    passed = failed = 0
    for scenario in (life, lame_duck, nobody, no_addresses):
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
