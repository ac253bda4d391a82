#!/usr/bin/env python3
"""NATS Streaming over restarts: what a file store brings back, and that kill -9 at any moment loses nothing that was
acknowledged (docs/streaming.md 9). The cases run against nats-streaming-server as well; the kills are for Myelin, which
promises more.

usage: test_streaming_restart.py SERVER_BINARY [--kills N [--kills-only]] [--seed N]
"""
import argparse
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import shutil

import stan_client
from stan_client import FIRST, NEW_ONLY, Nats, Refused, Stan
from stan_cases import Failure, Server, Under, equal, refused, true

CASES = []


def case(function):
    CASES.append(function)
    return function


class Home:
    """A server that is started and stopped again on one folder and one port."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="streaming-")
        self.port = -1
        self.server = None
        self.start()

    def start(self, *flags):
        self.server = Server(["-st", "FILE", "-dir", os.path.join(self.folder, "store"), "-hbi", "60s", *flags],
                             port=self.port, folder=self.folder)
        self.port = self.server.port

    def restart(self, number=signal.SIGKILL):
        self.server.stop(number)
        self.start()

    def nats(self):
        return Nats(self.port)

    def remove(self):
        self.server.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@case
def everything_revives_and_nothing_acknowledged_comes_again(home):
    """131, 133, 141"""
    client = Stan(home.nats(), "me", interval=7, most_out=9)
    kinds = ({}, {"durable": "d"}, {"group": "g"}, {"group": "g", "durable": "d"})
    subscriptions = [client.subscribe("foo", auto=True, **kind) for kind in kinds]
    client.publish_all("foo", [b"x"] * 10)
    for subscription in subscriptions:
        subscription.next_all(10)
    client.nats.flush()
    home.restart(signal.SIGTERM)
    client.move(home.nats(), *subscriptions)
    equal(client.ping(), "", "ping")
    client.publish("foo", b"y")
    for subscription in subscriptions:
        message = subscription.next()
        equal((message.sequence, message.data, message.redelivered), (11, b"y", False), "after the restart")
    refused("exists", client.publish, "FOO")


@case
def what_was_pending_comes_once_more_to_whom_it_was_sent(home):
    """135, 136: acks wait of 1 s, so all is due when the server is back."""
    client = Stan(home.nats(), "me")
    plain = client.subscribe("foo", ack_wait=1)
    members = [client.subscribe("foo", group="g", ack_wait=1, in_flight=3) for _ in range(2)]
    client.publish_all("foo", [b"x"] * 4)
    plain.next_all(4)
    had = [[m.sequence for m in member.next_all(2)] for member in members]
    plain.ack(2)
    client.nats.flush()
    equal(client.ping(), "", "ping")
    home.server.stop(signal.SIGTERM)
    home.start()
    client.move(home.nats(), plain, *members)
    again = plain.next_all(3)
    equal(sorted({m.sequence for m in again}), [1, 3, 4], "plain")
    true(all(m.redelivered for m in again), "flags")
    seen = sorted(m.sequence for member in members for m in [member.next(), member.next()])
    equal(seen, sorted(had[0] + had[1]), "members")


@case
def durables_that_were_closed_stay_silent_until_they_are_resumed(home):
    """106, 107, 140"""
    client = Stan(home.nats(), "me")
    durable = client.subscribe("foo", durable="d", start=FIRST)
    member = client.subscribe("foo", group="g", durable="d", start=FIRST)
    client.publish_all("foo", [b"x"] * 3)
    for subscription in (durable, member):
        for message in subscription.next_all(3):
            if message.sequence != 2:
                subscription.ack(message.sequence)
        subscription.end(close=True)
    home.restart()
    client.move(home.nats(), durable, member)
    client.publish("foo")
    true(durable.silent() and member.silent(), "something came")
    for more in ({"durable": "d"}, {"group": "g", "durable": "d"}):
        first, second = client.subscribe("foo", start=NEW_ONLY, **more).next_all(2)
        equal((first.sequence, first.redelivered, second.sequence, second.redelivered), (2, True, 4, False), more)


@case
def the_place_of_a_group_outlives_the_member_that_had_it(home):
    """122"""
    client = Stan(home.nats(), "me")
    first = client.subscribe("foo", group="g", durable="d", in_flight=1)
    second = client.subscribe("foo", group="g", durable="d", in_flight=1)
    client.publish_all("foo", [b"x"] * 2)
    places = {}
    for member in (first, second):
        message = member.next()
        member.ack(message.sequence)
        places[message.sequence] = member
    places[2].end()
    other = places[1]
    home.restart(signal.SIGTERM)
    client.move(home.nats(), other)
    client.publish("foo")
    message = other.next()
    equal((message.sequence, message.redelivered), (3, False), "next")


@case
def a_window_that_was_full_is_full_after_the_restart(home):
    """134, 137: the acks that were under way open it."""
    client = Stan(home.nats(), "me")
    subscription = client.subscribe("foo", in_flight=2, ack_wait=60)
    client.publish_all("foo", [b"x"] * 6)
    equal([m.sequence for m in subscription.next_all(2)], [1, 2], "before")
    home.restart()
    client.move(home.nats(), subscription)
    true(subscription.silent(), "beyond the window")
    for sequence in (1, 2):
        subscription.ack(sequence)
    equal([(m.sequence, m.redelivered) for m in subscription.next_all(2)], [(3, False), (4, False)], "after")


@case
def another_cluster_id_is_refused(home):
    """139"""
    Stan(home.nats(), "me").publish("foo")
    home.server.stop(signal.SIGTERM)
    link = os.path.join(home.folder, "nats-streaming-server")
    done = subprocess.run([link, "-p", "-1", "-a", "127.0.0.1", "-cid", "other", "-st", "FILE", "-dir",
                           os.path.join(home.folder, "store")], capture_output=True, text=True,
                          timeout=stan_client.WAIT, check=False)
    equal(done.returncode, 1, "exit code")
    text = 'Failed to start: cluster ID "other" does not match recovered value of "test-cluster"'
    true(text in done.stderr, done.stderr)


@case
def unknown_members_and_plain_subscriptions_are_not_revived(home):
    """138: their client was closed, so nothing of them is left; ids go on."""
    client = Stan(home.nats(), "me")
    client.subscribe("foo")
    client.subscribe("foo", group="g")
    client.close()
    home.restart()
    client = Stan(home.nats(), "me")
    client.publish("foo")
    equal(client.subscribe("foo", start=FIRST).next().sequence, 1, "stored")


# ---- kills ----

class Publisher(threading.Thread):
    """Keeps `window` publishes under way until the server is gone; knows which were acknowledged."""

    def __init__(self, port, name, channel, first, window=64):
        super().__init__(daemon=True)
        self.client = Stan(Nats(port), name, connection_id=f"{name}-{first}".encode())
        self.channel, self.number, self.window = channel, first, window
        self.acknowledged = []

    def run(self):
        waiting = []
        try:
            while self.client.nats.thread.is_alive():
                while len(waiting) < self.window:
                    text = f"{self.client.client_id}-{self.number}".encode()
                    self.number += 1
                    waiting.append((text, self.client.publish_later(self.channel, text)))
                text, done = waiting[0]
                try:
                    error = done.get(timeout=0.2)
                except queue.Empty:
                    continue
                waiting.pop(0)
                if error == "":
                    self.acknowledged.append(text)
        except OSError:
            pass
        for text, done in waiting:
            if not done.empty() and done.get() == "":
                self.acknowledged.append(text)


def read_all(port, name, channel, count_least):
    """Everything that the channel holds, from the first on."""
    client = Stan(Nats(port), name)
    marker = f"end-{name}".encode()
    client.publish(channel, marker)
    subscription = client.subscribe(channel, start=FIRST, in_flight=100000, auto=True)
    messages = []
    while not messages or messages[-1].data != marker:
        messages.append(subscription.next())
    true(len(messages) >= count_least, "fewer than were acknowledged")
    client.close()
    client.nats.close()
    return messages


def kills(count, seed):
    """The server dies at random moments under publishers and a durable; whatever was acknowledged is read back once, in
    the order of its publisher, and sequences have no gap."""
    chance = random.Random(seed)
    home = Home()
    acknowledged, number = {}, 0
    try:
        for turn in range(count):
            publishers = [Publisher(home.port, f"pub{i}", f"channel{i % 2}", number) for i in range(3)]
            for publisher in publishers:
                publisher.start()
            number += 1000000
            # How far it comes before the kill is what varies, so this wait is not for anything.
            time.sleep(chance.uniform(0.001, 0.06))
            home.server.stop(signal.SIGKILL)
            for publisher in publishers:
                publisher.join(timeout=stan_client.WAIT)
                publisher.client.nats.close()
                acknowledged.setdefault(publisher.channel, []).append(publisher.acknowledged)
            home.start()
        total = 0
        for channel, runs in acknowledged.items():
            messages = read_all(home.port, "reader", channel, sum(map(len, runs)))
            equal([m.sequence for m in messages], list(range(1, len(messages) + 1)), f"sequences of {channel}")
            places = {}
            for place, message in enumerate(messages):
                places.setdefault(message.data, []).append(place)
            for run in runs:
                total += len(run)
                missing = [text for text in run if text not in places]
                true(not missing, f"{channel}: acknowledged and lost: {missing[:5]}")
                true(all(len(places[text]) == 1 for text in run), f"{channel}: stored twice")
                order = [places[text][0] for text in run]
                equal(order, sorted(order), f"{channel}: order of a publisher")
        true(total > 0, "nothing was acknowledged at all")
        print(f"streaming kills: {count} kills, {total} acknowledged messages, none lost")
    finally:
        home.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kills-only", action="store_true", help="without the cases")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", help="cases with this word in their name")
    options = parser.parse_args()
    Under.binary = os.path.abspath(options.binary)
    passed = failed = 0
    for function in [] if options.kills_only else CASES:
        if options.only is not None and options.only not in function.__name__:
            continue
        home = Home()
        try:
            function(home)
            passed += 1
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED {function.__name__}: {type(error).__name__}: {error}\n{home.server.log()[-1500:]}")
        finally:
            home.remove()
    if options.kills > 0 and options.only is None:
        seed = options.seed if options.seed is not None else random.randrange(1 << 30)
        try:
            kills(options.kills, seed)
            passed += 1
        except (Failure, Refused, queue.Empty) as error:
            failed += 1
            print(f"FAILED kills (seed {seed}): {type(error).__name__}: {error}")
    print(f"streaming restarts: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
