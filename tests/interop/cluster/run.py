#!/usr/bin/env python3
"""Streaming clients against a cluster of three whose leaders are killed: each publishes, and subscribes durably, through
whichever node it finds. Then its history is judged (history.py), and so that this means something, spoiled histories are.

usage: run.py SERVER_BINARY [--kills N] NAME=COMMAND ...

COMMAND takes URLS and a NAME behind it, and speaks as tests/interop/go/history.go says. Prints a line per client and
"N passed, N failed, N skipped".
"""
import argparse
import os
import shlex
import subprocess
import sys
import threading

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
sys.path.insert(0, os.path.join(root, "tests", "integration"))
import test_streaming_cluster as cluster  # noqa: E402
from test_streaming_cluster import Failure, equal, wait_for  # noqa: E402

from history import History, check, unnoticed  # noqa: E402

DURABLES = ["one", "many"]
MOVES = 50  # publishes that are acknowledged between two deaths, at least


class Client:
    """A client's process. What it prints is noted as it comes, by a thread."""

    def __init__(self, name, command, urls):
        self.name = name
        self.history, self.said, self.strange = History(), set(), []
        self.process = subprocess.Popen([*shlex.split(command), urls, name], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            try:
                if not self.history.note(words):
                    self.said.add(words[0])
            except (ValueError, IndexError):
                self.strange.append(line)

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def wait(self, predicate, what):
        def look():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} has ended with {self.process.returncode}")
            return predicate()
        wait_for(look, f"{self.name}: {what}")

    def heard(self, word):
        self.wait(lambda: word in self.said, word)

    def goal(self, moves):
        """What is reached when it publishes and when both durables go on."""
        history = self.history
        wanted = len(history.acknowledged) + moves
        had = {durable: history.had(durable) + moves for durable in DURABLES}
        return lambda: len(history.acknowledged) >= wanted and all(
            history.had(durable) >= had[durable] for durable in DURABLES)

    def close(self):
        """At the end of all; what it still says is noted."""
        self.process.stdin.close()
        equal(self.process.wait(cluster.WAIT), 0, f"{self.name}: exit code")
        self.reader.join()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def all_move(clients, moves=MOVES):
    for client, goal in [(client, client.goal(moves)) for client in clients]:
        client.wait(goal, "publishes are acknowledged, and the durables have them")


def resume(clients):
    for client in clients:
        client.tell("resume")
    for client in clients:
        client.heard("resumed")


def play(world, commands, kills):
    """The clients, when all are done."""
    world.start()
    urls = ",".join(f"nats://127.0.0.1:{node.port}" for node in world.nodes)
    clients = []
    try:
        for name, command in commands:
            clients.append(Client(name, command, urls))
        for client in clients:
            client.heard("ready")
        all_move(clients)
        for death in range(kills):
            victim = world.leader()
            victim.kill()
            all_move(clients)
            victim.start()
            if death == kills // 2:
                resume(clients)
            all_move(clients)
        finish(world, clients)
    finally:
        for client in clients:
            client.end()
    return clients


def finish(world, clients):
    for client in clients:
        client.tell("stop")
    for client in clients:
        client.heard("stopped")
    for node in world.nodes:
        wait_for(lambda node=node: node.applied() > 0, f"{node.name} is back")
    world.level()
    for client in clients:
        _, last, _ = world.nodes[0].channel(client.name)
        for node in world.nodes:
            equal(node.channel(client.name), (1, last, last), f"{client.name} on {node.name}")
        client.wait(lambda c=client, last=last: all(c.history.had(d) == last for d in DURABLES),
                    f"the durables have all {last}")
        client.tell("replay")
        client.wait(lambda c=client, last=last: len(c.history.replayed) >= last, f"the replay comes to {last}")
        client.close()


def judge(client, doubt):
    """What is wrong with what the client saw, and, when it is doubted, with the judge."""
    history = client.history
    wrong = [f"printed {line!r}" for line in client.strange] + check(history)
    return wrong or [f"the checker does not notice: {name}" for name in (unnoticed(history) if doubt else ())]


def report(clients, what, doubted):
    """A line for each; how many failed. Spoiled copies are made of the histories of `doubted`."""
    failed = 0
    for client in clients:
        wrong, history = judge(client, client in doubted), client.history
        failed += bool(wrong)
        again = sum(again for events in history.delivered.values() for *_, again in events)
        print(f"{'FAILED' if wrong else 'passed'} {client.name}: {what}, "
              f"{len(history.acknowledged)} publishes acknowledged, {len(history.failed)} not, {again} redelivered",
              *wrong, sep="\n  ", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("clients", nargs="+", metavar="NAME=COMMAND")
    arguments = parser.parse_args()
    cluster.OPTIONS.binary = os.path.abspath(arguments.binary)
    cluster.mine.worlds = []
    commands = [words.split("=", 1) for words in arguments.clients]
    failed = 0
    world = None
    try:
        world = cluster.World(["a", "b", "c"], cluster="peers: [a, b, c], trailing_logs: 200, snapshot_entries: 1000, ")
        clients = play(world, commands, arguments.kills)
        failed = report(clients, f"{arguments.kills} leaders killed", clients)
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        failed = len(commands)
        print(f"FAILED: {failure}\n{world.logs() if world else ''}")
    finally:
        for one in cluster.mine.worlds:
            one.end()
    print(f"{len(commands) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
