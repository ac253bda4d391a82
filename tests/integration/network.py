"""tests/integration/network.py - networks of their own for tests: they delay, lose and break.

Each host is a network namespace with one cable (a veth pair). The other ends of the cables lie in one more namespace, where
this file runs as a program and is the switch: it passes frames between the ends, after a delay, and drops those that are
to be lost. So nothing is needed of the kernel but namespaces, veth and packet sockets (netem is not everywhere), nothing is sent
to anywhere else, and what was lost is counted. Namespaces end with the test.

The switch takes lines of JSON from its input, {"pairs": [[from, to]..], "delay": seconds, "loss": probability}, where a
loss of 1 is a break, and answers each with the number of frames that chance has lost.
"""
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
PACKET_IGNORE_OUTGOING = (263, 23)  # SOL_PACKET and the option
ALL_FRAMES = 3
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
FRAME_BYTES_MAX = 65536
libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    try:
        done = subprocess.run(["ip"] + list(words), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise OSError("there is no ip command") from None
    if done.returncode != 0:
        raise OSError("ip %s: %s" % (" ".join(words), done.stderr.strip()))


class Inside:
    """This thread is in another network namespace for a while; sockets keep the one they were made in."""

    def __init__(self, name):
        self.name = name
        self.own = None

    def __enter__(self):
        self.own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with open("/run/netns/" + self.name, "rb") as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
        except OSError:
            os.close(self.own)
            raise

    def __exit__(self, *_):
        libc.setns(self.own, CLONE_NEWNET)
        os.close(self.own)


def checksums_in_software(device):
    """Else frames leave without one, for hardware to fill in that the switch is not."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP", device.encode(), ctypes.addressof(value)))


class Network:
    """`count` hosts, 10.99.0.1 and so on. OSError: it cannot be made here."""

    def __init__(self, count, tag):
        self.hub = "myelin%d-%s" % (os.getpid(), tag)
        self.names = ["%s-%d" % (self.hub, i) for i in range(count)]
        self.addresses = ["10.99.0.%d" % (i + 1) for i in range(count)]
        self.seed = random.SystemRandom().randrange(1 << 30)
        self.made = []
        self.switch = None

    def __enter__(self):
        try:
            for name in [self.hub] + self.names:
                ip("netns", "add", name)
                self.made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
            for i, name in enumerate(self.names):
                ip("-n", name, "link", "add", "cable", "type", "veth", "peer", "name", "port%d" % i, "netns", self.hub)
                with Inside(name):
                    checksums_in_software("cable")
                ip("-n", name, "addr", "add", self.addresses[i] + "/24", "dev", "cable")
                ip("-n", name, "link", "set", "cable", "up")
                ip("-n", self.hub, "link", "set", "port%d" % i, "up")
            self.switch = subprocess.Popen(
                ["ip", "netns", "exec", self.hub, sys.executable, "-B", os.path.abspath(__file__), str(len(self.names)),
                 str(self.seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            self.lost()  # it is there
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.switch is not None:
            self.switch.stdin.close()
            self.switch.wait()
            self.switch.stdout.close()
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def ask(self, order):
        self.switch.stdin.write(json.dumps(order) + "\n")
        self.switch.stdin.flush()
        answer = self.switch.stdout.readline()
        if not answer:
            raise OSError("the switch has ended")
        return int(answer)

    def lost(self):
        """How many frames chance has lost."""
        return self.ask({"pairs": []})

    def between(self, some, others, delay=0.0, loss=0.0):
        """What happens to frames between hosts, in both directions. A loss of 1: nothing gets through."""
        pairs = [pair for i in some for j in others if i != j for pair in ((i, j), (j, i))]
        self.ask({"pairs": pairs, "delay": delay, "loss": loss})

    def one_way(self, come_from, to, loss):
        """As between(), but only for frames of the first hosts to the others; the other direction stays as it is."""
        self.ask({"pairs": [(i, j) for i in come_from for j in to if i != j], "delay": 0.0, "loss": loss})

    def plug(self, i, there):
        """Whether that host's cable is in."""
        self.between([i], range(len(self.names)), loss=0.0 if there else 1.0)

    def everywhere(self, delay=0.0, loss=0.0):
        self.between(range(len(self.names)), range(len(self.names)), delay, loss)


class Switch:
    """Learns who is where, as switches do."""

    def __init__(self, count, seed):
        self.rng = random.Random(seed)
        self.ports = []
        self.places = {}  # a hardware address's port
        self.rules = {}   # (from, to): (delay, loss)
        self.waiting = []  # (due, serial, to, frame)
        self.serial = 0
        self.lost = 0
        for i in range(count):
            port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
            port.setsockopt(*PACKET_IGNORE_OUTGOING, 1)
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            port.bind(("port%d" % i, 0))
            port.setblocking(False)
            self.ports.append(port)

    def obey(self, line):
        order = json.loads(line)
        for pair in order["pairs"]:
            self.rules[tuple(pair)] = (order["delay"], order["loss"])
        print(self.lost, flush=True)

    def send(self, to, frame):
        try:
            self.ports[to].send(frame)
        except OSError:
            self.lost += 1

    def take(self, come_from, frame):
        self.places[frame[6:12]] = come_from
        known = self.places.get(frame[:6])
        for to in range(len(self.ports)) if known is None else [known]:
            if to == come_from:
                continue
            delay, loss = self.rules.get((come_from, to), (0.0, 0.0))
            if loss >= 1.0:
                continue
            if self.rng.random() < loss:
                self.lost += 1
            elif delay == 0.0:
                self.send(to, frame)
            else:
                self.serial += 1
                heapq.heappush(self.waiting, (time.monotonic() + delay, self.serial, to, frame))

    def run(self):
        while True:
            wait = max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            readable, _, _ = select.select([sys.stdin] + self.ports, [], [], wait)
            if sys.stdin in readable:
                line = sys.stdin.readline()
                if not line:
                    return
                self.obey(line)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, _, to, frame = heapq.heappop(self.waiting)
                self.send(to, frame)
            for i, port in enumerate(self.ports):
                if port in readable:
                    try:
                        self.take(i, port.recv(FRAME_BYTES_MAX))
                    except OSError:
                        pass  # its other end went up or down


if __name__ == "__main__":
    Switch(int(sys.argv[1]), int(sys.argv[2])).run()
