#!/usr/bin/env python3
"""A streaming server whose disk runs full: the whole process, on a small file system of its own (docs/streaming.md 9).

usage: test_streaming_faults.py MYELIN_BINARY

The file system is a tmpfs in a mount namespace, for which one needs to be allowed user namespaces. Where that is not so it
is skipped, and says why.
"""
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import stan_client
from stan_client import FIRST, Nats, Refused, Stan
from test_streaming import Failure, equal, true

DISK_MB, DISK_MORE_MB, SEGMENT_MB = 12, 48, 2
BODY = b"x" * 30000


class Disk:
    """A file system that can grow; it is there as long as a process in its namespace is."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="faults-")
        script = f"mount -t tmpfs -o size={DISK_MB}m none '{self.folder}' && echo ready && exec sleep 1000"
        self.holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            why = self.holder.stderr.read().strip()
            self.remove()
            raise PermissionError(why)

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials", *command]

    def grow(self):
        subprocess.run(self.inside("mount", "-o", f"remount,size={DISK_MORE_MB}m", self.folder), check=True)

    def remove(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Home:
    """The server on it; its log lies on another disk."""

    def __init__(self, binary, disk):
        self.disk = disk
        self.command = disk.inside(binary, "--streaming", "-a", "127.0.0.1", "-p", "-1", "-st", "FILE", "-dir",
                                   os.path.join(disk.folder, "store"), "-file_slice_max_bytes", f"{SEGMENT_MB}MB",
                                   "-hbi", "60s")
        self.log_file = tempfile.NamedTemporaryFile(prefix="faults-log-")
        self.start()

    def start(self):
        begin = os.path.getsize(self.log_file.name)
        with open(self.log_file.name, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + stan_client.WAIT
        while "Streaming Server is ready" not in self.log()[begin:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failure("the server did not start:\n" + self.log()[-1500:])
            time.sleep(0.01)
        self.port = int(re.findall(r"Listening for client connections on \S+:(\d+)", self.log())[-1])

    def log(self):
        with open(self.log_file.name, encoding="utf-8") as file:
            return file.read()

    def stop(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=stan_client.WAIT)


def fill(client, channel, numbers):
    """Publishes until one is refused; the numbers that were acknowledged, and the text of the refusal."""
    done = []
    for _ in range(DISK_MORE_MB * 1000000 // len(BODY)):
        text = b"%d " % next(numbers) + BODY
        error = client.publish_later(channel, text).get(timeout=stan_client.WAIT)
        if error:
            return done, error
        done.append(text)
    raise Failure("the disk never ran full")


def read(home, name, channel, wanted):
    """What was acknowledged is there once and in order; more may be, what was refused may not."""
    client = Stan(Nats(home.port), name)
    messages = client.subscribe(channel, start=FIRST, auto=True, in_flight=10000).next_all(len(wanted))
    equal([m.data[:16] for m in messages], [text[:16] for text in wanted], "what was acknowledged")
    equal([m.sequence for m in messages], list(range(1, len(wanted) + 1)), "sequences")
    client.close()
    client.nats.close()


def a_full_disk(home):
    numbers = iter(range(1 << 30))
    client = Stan(Nats(home.port), "me")
    held = client.subscribe("foo", in_flight=5, ack_wait=60)
    stored, error = fill(client, "foo", numbers)
    true(error.startswith("stan: "), f"the refusal: {error!r}")
    true(len(stored) * len(BODY) > DISK_MB * 1000000 / 4, f"{len(stored)} messages filled the disk")
    true(home.process.poll() is None, "the server has ended")
    # Nothing else stops: what is stored is delivered and acknowledged, clients come, subscriptions come and go.
    equal([m.sequence for m in held.next_all(5)], [1, 2, 3, 4, 5], "deliveries")
    for sequence in range(1, 6):
        held.ack(sequence)
    equal([m.sequence for m in held.next_all(5)], [6, 7, 8, 9, 10], "deliveries after acknowledgements")
    equal(client.ping(), "", "ping")
    read(home, "reader", "foo", stored)
    for _ in range(3):
        _, again = fill(client, "foo", numbers)
        equal(again, error, "each further one")
    # A kill on a full disk, and a start on it.
    client.nats.close()
    home.stop()
    home.start()
    client.move(Nats(home.port), held)
    read(home, "after", "foo", stored)
    _, again = fill(client, "foo", numbers)
    equal(again, error, "after the restart")
    # There is room again: without a restart it goes on.
    home.disk.grow()
    deadline = time.monotonic() + stan_client.WAIT
    more = None
    while more is None:
        text = b"%d " % next(numbers) + BODY
        if not client.publish_later("foo", text).get(timeout=stan_client.WAIT):
            more = text
        true(time.monotonic() < deadline, "still refused when there is room")
        time.sleep(0.01)
    stored.append(more)
    read(home, "grown", "foo", stored)
    client.nats.close()
    home.stop()
    home.start()
    read(home, "last", "foo", stored)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: test_streaming_faults.py MYELIN_BINARY")
    try:
        disk = Disk()
    except (PermissionError, FileNotFoundError) as error:
        print(f"streaming faults: skipped, there is no file system of its own: {error}")
        return
    home, failed = None, 0
    try:
        home = Home(os.path.abspath(sys.argv[1]), disk)
        a_full_disk(home)
    except (Failure, Refused, queue.Empty, OSError) as error:
        failed = 1
        print(f"FAILED a_full_disk: {type(error).__name__}: {error}\n{home.log()[-2500:] if home else ''}")
    finally:
        if home is not None:
            home.stop()
        disk.remove()
    print(f"streaming faults: {1 - failed} passed, {failed} failed")
    sys.exit(failed)


if __name__ == "__main__":
    main()
