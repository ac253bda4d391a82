#!/usr/bin/env python3
"""A streaming server whose disk fails: the whole process (docs/streaming.md 9). What is acknowledged is read back, whatever
the disk does; what a disk cannot be trusted with any more ends the process, which says so.

usage: test_streaming_faults.py MYELIN_BINARY DISK_FAULTS_LIBRARY

A disk that runs full is a tmpfs in a mount namespace, for which one needs to be allowed user namespaces. Where that is not
so it is skipped, and says why. All other faults come from a library that is preloaded into the server and stands between it and
the kernel's ring: tests/server/disk_faults.c.
"""
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import skipped
import stan_client
from stan_client import FIRST, Nats, Refused, Stan
from stan_cases import Failure, equal, true
from test_streaming_restart import Publisher, read_all

DISK_MB, DISK_MORE_MB, SEGMENT_MB = 12, 48, 2
BODY = b"x" * 30000
TORN, KILLS = 8, 3
# What is published to this channel passes through, and files of the log with it.
CONFIG = 'streaming { store_limits { channels { "passing": { max_msgs: 5 } } } }'
BINARY = LIBRARY = None


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
    """The server on a disk of its own, or else with the library that makes its disk fail; its log lies elsewhere."""

    def __init__(self, disk=None, *flags):
        self.disk = disk
        self.folder = disk.folder if disk else tempfile.mkdtemp(prefix="faults-")
        self.store = os.path.join(self.folder, "store")
        config = tempfile.NamedTemporaryFile("w", prefix="faults-conf-")
        self.config = config  # goes with this object
        config.write(CONFIG)
        config.flush()
        command = [BINARY, "-c", config.name, "-a", "127.0.0.1", "-p", "-1", "-st", "FILE", "-dir", self.store,
                   "-file_slice_max_bytes", f"{SEGMENT_MB}MB", "-hbi", "60s", *flags]
        self.command = disk.inside(*command) if disk else command
        self.wish = os.path.join(self.folder, "fault")
        self.environment = None if disk else dict(
            os.environ, LD_PRELOAD=LIBRARY, DISK_FAULTS=self.wish,
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
        self.log_file = tempfile.NamedTemporaryFile(prefix="faults-log-")
        self.port = None
        self.start()

    def start(self, *flags):
        begin = os.path.getsize(self.log_file.name)
        with open(self.log_file.name, "ab") as log:
            self.process = subprocess.Popen([*self.command, *flags], stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + stan_client.WAIT
        while "Streaming Server is ready" not in self.log()[begin:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failure("the server did not start:\n" + self.log()[begin:][-1500:])
            time.sleep(0.01)
        self.port = int(re.findall(r"Listening for client connections on \S+:(\d+)", self.log())[-1])

    def refuses(self, *flags):
        """The server is to end without being ready; what it says."""
        begin = os.path.getsize(self.log_file.name)
        try:
            self.start(*flags)
        except Failure:
            equal(self.process.returncode, 1, "exit code of a start that failed")
            return self.log()[begin:]
        raise Failure("the server has started")

    def fault(self, word):
        """The next write or sync goes wrong in that way; returns when it has."""
        with open(self.wish + ".new", "w", encoding="ascii") as file:
            file.write(word)
        os.rename(self.wish + ".new", self.wish)
        deadline = time.monotonic() + stan_client.WAIT
        while os.path.exists(self.wish):
            true(time.monotonic() < deadline, f"{word}: nothing was written")
            time.sleep(0.002)

    def log(self):
        with open(self.log_file.name, encoding="utf-8") as file:
            return file.read()

    def stop(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=stan_client.WAIT)

    def remove(self):
        self.stop()
        self.log_file.close()
        if self.disk:
            self.disk.remove()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


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


# ---- faults between the server and the ring ----

class Crowd:
    """Publishers of one channel, and what was acknowledged to any of them since the beginning."""

    def __init__(self, home, count=3):
        self.home, self.count, self.number, self.runs, self.publishers = home, count, 0, [], []

    def begin(self):
        self.publishers = [Publisher(self.home.port, f"pub{i}", "foo", self.number) for i in range(self.count)]
        self.number += 1000000
        for publisher in self.publishers:
            publisher.start()

    def some_more(self):
        """Returns when each has had an acknowledgement since."""
        had = [len(publisher.acknowledged) for publisher in self.publishers]
        deadline = time.monotonic() + stan_client.WAIT
        while any(len(p.acknowledged) == count for p, count in zip(self.publishers, had)):
            true(time.monotonic() < deadline and self.home.process.poll() is None, "no more acknowledgements")
            time.sleep(0.002)

    def end(self):
        """They have seen that the server is gone."""
        for publisher in self.publishers:
            publisher.join(timeout=stan_client.WAIT)
            publisher.client.nats.close()
            self.runs.append(publisher.acknowledged)
        self.publishers = []

    def check(self):
        """All that was acknowledged is there once, in its publisher's order, and sequences have no gap."""
        wanted = sum(map(len, self.runs))
        messages = read_all(self.home.port, "reader", "foo", wanted)
        equal([m.sequence for m in messages], list(range(1, len(messages) + 1)), "sequences")
        places = {}
        for place, message in enumerate(messages):
            true(message.data not in places, f"{message.data} is there twice")
            places[message.data] = place
        for run in self.runs:
            order = [places.get(text, -1) for text in run]
            true(-1 not in order, "acknowledged and lost")
            equal(order, sorted(order), "order of a publisher")
        true(wanted > 0, "nothing was acknowledged at all")


def ends_with(home, word, what):
    """After such a fault nothing is acknowledged any more: the process says why and ends, and the next one has it all."""
    crowd = Crowd(home)
    for _ in range(2):
        crowd.begin()
        crowd.some_more()
        begin = len(home.log())
        home.fault(word)
        equal(home.process.wait(timeout=stan_client.WAIT), -signal.SIGABRT, "how it ended")
        crowd.end()
        true(re.search(rf"\[FTL\] STREAM: unable to flush msg store: unable to {what} \w+\.wal at offset \d+: .*"
                       "nothing is acknowledged any more", home.log()[begin:]), home.log()[begin:][-500:])
        home.start()
    crowd.check()


def a_sync_that_fails(home):
    ends_with(home, "sync-eio", "write")  # one operation does both (RWF_DSYNC)


def a_sync_of_an_interval_that_fails(home):
    ends_with(home, "fsync-eio", "sync")


def a_write_that_fails(home):
    ends_with(home, "write-eio", "write")


def short_writes_and_a_moment_without_room(home):
    crowd = Crowd(home)
    crowd.begin()
    for _ in range(5):
        crowd.some_more()
        home.fault("write-short")
    crowd.some_more()
    home.fault("write-enospc")
    crowd.some_more()  # it is tried again after a second
    home.stop()
    crowd.end()
    home.start()
    crowd.check()


def writes_that_are_torn_at_sectors(home):
    crowd = Crowd(home)
    for _ in range(TORN):
        crowd.begin()
        crowd.some_more()
        home.fault("torn")
        equal(home.process.wait(timeout=stan_client.WAIT), -signal.SIGKILL, "how it ended")
        crowd.end()
        home.start()
    crowd.check()


def last_file(home):
    return max(name for name in os.listdir(home.store) if name.endswith(".wal"))


def flood(home, stop):
    """Large messages, of which few are kept, until the server is gone."""
    try:
        client = Stan(Nats(home.port), "flood", connection_id=os.urandom(8))
        while not stop.is_set() and client.nats.thread.is_alive():
            for done in [client.publish_later("passing", 8 * BODY) for _ in range(16)]:
                while client.nats.thread.is_alive() and not stop.is_set():
                    try:
                        done.get(timeout=0.1)
                        break
                    except queue.Empty:
                        pass
        client.nats.close()
    except (OSError, Refused, queue.Empty):
        pass


def files_that_come_and_go(home):
    """They are made and given up while messages go on, and the process dies at any moment of that; or there is no room."""
    crowd = Crowd(home)
    for turn in range(KILLS):
        stop = threading.Event()
        flooding = threading.Thread(target=flood, args=(home, stop), daemon=True)
        crowd.begin()
        flooding.start()
        if turn % 2:
            home.fault("make-enospc")
        for _ in range(2):
            name = last_file(home)
            deadline = time.monotonic() + stan_client.WAIT
            while last_file(home) == name:
                true(time.monotonic() < deadline and home.process.poll() is None, "no new file")
                time.sleep(0.0005 * turn)
        crowd.some_more()
        home.stop()
        stop.set()
        flooding.join(timeout=stan_client.WAIT)
        crowd.end()
        home.start()
    true(int(last_file(home)[:8], 16) - len([n for n in os.listdir(home.store) if n.endswith(".wal")]) > 2, "none was given up")
    crowd.check()


def a_sync_that_fails_at_the_very_end(home):
    crowd = Crowd(home)
    crowd.begin()
    crowd.some_more()
    with open(home.wish, "w", encoding="ascii") as file:
        file.write("end-eio")
    home.stop(signal.SIGINT)
    crowd.end()
    true("not all of the store could be written at the end" in home.log(), home.log()[-500:])
    home.start()
    crowd.check()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def bits_that_flip(home):
    """Not started, with the place named; as before when the bit is back; given up from there on when that is asked."""
    client = Stan(Nats(home.port), "me")
    texts = [b"%d " % number + b"x" * 1000 for number in range(200)]
    client.publish_all("foo", texts)
    client.nats.close()
    home.stop(signal.SIGINT)
    path = os.path.join(home.store, "00000001.wal")
    with open(path, "rb") as file:
        content = file.read()
    places = [content.index(texts[number]) for number in (0, 77, 199)]
    for place in [*places, places[1] - 40, 8]:  # in data, in a record's head, in the file's
        flip(path, place)
        said = home.refuses()
        true(re.search(r"\[FTL\] STREAM: Failed to start: .*00000001\.wal", said), said[-500:])
        named = re.search(r"at offset (\d+)", said)
        true(place == 8 or named and int(named.group(1)) <= place < int(named.group(1)) + 1100, f"{place}: {said[-300:]}")
        flip(path, place)
    with open(path, "rb") as file:
        equal(file.read() == content, True, "a start that failed has changed the file")
    home.start()
    read(home, "whole", "foo", texts)
    home.stop(signal.SIGINT)
    flip(path, places[1])
    home.start("-file_truncate_bad_eof")
    read(home, "half", "foo", texts[:77])
    home.stop(signal.SIGINT)
    true("should not be opened consecutively" in home.refuses("-file_truncate_bad_eof"), home.log()[-500:])
    home.start()
    read(home, "again", "foo", texts[:77])


CASES = (  # with flags of the server
    (a_sync_that_fails,),
    (a_sync_of_an_interval_that_fails, "-file_sync=false", "-file_auto_sync", "10ms"),
    (a_write_that_fails,),
    (short_writes_and_a_moment_without_room,),
    (writes_that_are_torn_at_sectors,),
    (files_that_come_and_go, "-file_slice_max_bytes", "8MB"),
    # With something that waits for its sync: else the end may have nothing to do.
    (a_sync_that_fails_at_the_very_end, "-file_sync=false", "-file_auto_sync", "1h"),
    (bits_that_flip,),
)


def run(case, make):
    """0 or 1: failed."""
    home = None
    try:
        home = make()
        case(home)
        return 0
    except (Failure, Refused, queue.Empty, OSError) as error:
        print(f"FAILED {case.__name__}: {type(error).__name__}: {error}\n{home.log()[-2500:] if home else ''}")
        return 1
    finally:
        if home is not None:
            home.remove()


def main():
    global BINARY, LIBRARY  # pylint: disable=global-statement
    if len(sys.argv) != 3:
        sys.exit("usage: test_streaming_faults.py MYELIN_BINARY DISK_FAULTS_LIBRARY")
    BINARY, LIBRARY = map(os.path.abspath, sys.argv[1:])
    count = len(CASES)
    failed = sum(run(case, lambda more=flags: Home(None, *more)) for case, *flags in CASES)
    try:
        disk = Disk()
        count += 1
        failed += run(a_full_disk, lambda: Home(disk))
    except (PermissionError, FileNotFoundError) as error:
        skipped.note("the full disk of streaming faults", f"there is no file system of its own: {error}")
    print(f"streaming faults: {count - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
