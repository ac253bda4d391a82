#!/usr/bin/env python3
"""tests/integration/test_lost_server.py SERVER - a scripted peer with very much interest is lost, and its number is taken
before all of it can be forgotten (spec/routes.md 24, row 23). Runs against nats-server too, for proof of the case itself.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster_client import Failure, pump  # noqa: E402
from test_routes import expect, in_world  # noqa: E402


def lost_and_replaced(world):
    """A server with very much interest is lost; the same one, or another, is there again before all of it can be forgotten. What
    was wanted before counts no more from the loss on, and what is wanted now stays."""
    asker, worker = world.client(), world.client()
    worker.subscribe("old.7", "g")
    worker.flush()
    asker.subscribe("answer")
    # From some thousand on a message for the group goes nowhere in nats-server 2.9.
    count = 100000 if world.ours else 100
    lines = b"".join(b"RS+ APP old.%d\r\nRS+ APP old.%d g 1000\r\n" % (n, n) for n in range(count))

    def no_responders():
        return any(m.header and b"503" in m.header for m in asker.messages)

    for letter in "FFG":
        peer = world.slot(letter)
        peer.send(lines + b"RS+ APP mark\r\n")
        peer.until_message(asker, "mark")
        peer.close()
        pump([asker], no_responders, lambda: asker.publish("mark", b"", "answer"), 0.001)
        asker.flush()
        asker.messages.clear()
        worker.messages.clear()
        peer = world.slot(letter if letter == "F" else "H")
        asker.publish("old.5", b"x", "answer")
        pump([asker], no_responders)
        for _ in range(50):
            asker.publish("old.7", b"x")
        pump([worker], lambda: len(worker.messages) >= 50)
        peer.send(b"RS+ APP old.9 g 1\r\nRS+ APP new.1\r\n")
        peer.until_message(asker, "new.1")
        for subject in ("old.1", "old.7", "old.9", "new.1"):
            asker.publish(subject, b"y")
        asker.publish("new.1", b"end")
        got = []
        while not got or got[-1] != "new.1 3":
            line = peer.line().decode()
            if line.startswith("RMSG APP "):
                got.append(line.removeprefix("RMSG APP "))
        expect("messages", ["old.9 | g 1", "new.1 1", "new.1 3"], got)
        pump([worker], lambda: len(worker.messages) >= 51)
        worker.flush()
        asker.messages.clear()
        expect("deliveries", 51, len(worker.messages))
        peer.close()
        pump([asker], no_responders, lambda: asker.publish("new.1", b"", "answer"))
        asker.flush()
        asker.messages.clear()


def main():
    path = os.path.abspath(sys.argv[1]) if "/" in sys.argv[1] else shutil.which(sys.argv[1])
    try:
        in_world(path, lost_and_replaced)
    except Failure as failure:
        print(f"lost server: FAILED: {failure}")
        return 1
    print("lost server: 1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
