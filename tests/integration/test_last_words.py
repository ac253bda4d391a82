#!/usr/bin/env python3
"""tests/integration/test_last_words.py MYELIN REFERENCE... - what a server says in the system account unasked, from its
first heartbeats to its end, as another server of its cluster hears it.

Every server is to say the same in the same order: heartbeats that begin at once and become rare, LAMEDUCK when it takes no
more clients, with and without some, SHUTDOWN as its last word. nats-server 2.9 knows no LAMEDUCK. What Myelin writes is
compared with what the references write, key by key.
"""
import concurrent.futures
import datetime
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_monitoring as monitoring  # noqa: E402
from cluster_client import Client, Failure, Node, Nodes, free_ports, pump  # noqa: E402
from test_system import ACCOUNTS, Asker, answers_of_all, compare_value  # noqa: E402

LAME_DUCK = "lame_duck_grace_period: 10ms\nlame_duck_duration: 30s\n"
BEATS_MS = [250, 750, 1750]  # when heartbeats are due, since the start
AT_ONCE = 6  # scenes mostly wait
CLOCKS_MS = 5  # the start is told by another clock than the one by which timers go


def milliseconds(since, until):
    begin, end = (datetime.datetime.fromisoformat(monitoring.moment(text)[:26]) for text in (since, until))
    return (end - begin) / datetime.timedelta(milliseconds=1)


class Pair(Nodes):
    """A server, and another one of its cluster where somebody listens."""

    def __init__(self, listener, program):
        ports = free_ports(4)
        self.nodes = [Node(path, name, ports[at], ports[at + 1], accounts=ACCOUNTS + LAME_DUCK)
                      for at, path, name in ((0, listener, "listener"), (2, program, "speaker"))]
        self.nodes[1].routes = [self.nodes[0].cluster_port]

    def __enter__(self):
        try:
            self.meet()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def meet(self):
        """The listener is there before the speaker says its first word."""
        self.nodes[0].start()
        self.watch = Asker(self.nodes[0], "sys")
        for subject in ("$SYS.SERVER.>", "$SYS.ACCOUNT.>"):
            self.watch.subscribe(subject)
        self.watch.flush()
        self.nodes[1].start()
        answers_of_all(self.watch, "$SYS.REQ.SERVER.PING", 2)
        answers_of_all(self.watch, "$SYS.REQ.SERVER.PING", 2)  # interest that was there before the first ones has arrived

    def heard(self):
        """What the speaker has published: the end of the subject, and its description of itself."""
        found = []
        for message in self.watch.messages:
            if message.subject.startswith("$SYS."):
                body = json.loads(message.body)
                server = body.get("server", body)
                if server["name"] == "speaker":
                    found.append((message.subject.split(".")[-1], server, body))
        return found

    def until(self, word):
        pump([self.watch], lambda: word in [what for what, _, _ in self.heard()])
        return next(server for what, server, _ in self.heard() if what == word)

    def ended(self):
        """The process ends by itself, with SHUTDOWN as its last word; what is wrong with that."""
        self.until("SHUTDOWN")
        code = self.nodes[1].process.wait(monitoring.PATIENCE_SECONDS)
        answers_of_all(self.watch, "$SYS.REQ.SERVER.PING", 1)
        heard = self.heard()
        found = [] if code == 0 else ["it ended with %d" % code]
        if [what for what, _, _ in heard].index("SHUTDOWN") != len(heard) - 1:
            found.append("SHUTDOWN is not the last word: %s" % [what for what, _, _ in heard])
        numbers = [server["seq"] for _, server, _ in heard]
        if numbers != sorted(set(numbers)):
            found.append("numbers do not grow: %s" % numbers)
        return found


def old(words):
    """Whether they are those of nats-server 2.9."""
    return any(server["ver"].startswith("2.9.") for server in words.values())


def beats(listener, program):
    """Heartbeats come unasked. None comes before it is due: that is all that can be said without a look at the clock."""
    found = []
    with Pair(listener, program) as pair:
        def told():
            return [body for what, _, body in pair.heard() if what == "STATSZ"]

        # Another server is greeted by one more.
        pump([pair.watch], lambda: len(told()) > len(BEATS_MS))
        times = [milliseconds(body["statsz"]["start"], body["server"]["time"]) for body in told()]
        if any(time < due - CLOCKS_MS for time, due in zip(times[1:], BEATS_MS)):  # whichever of them is the greeting
            found.append("heartbeats after %s ms" % times)
    return found, {}


def without_clients(listener, program):
    with Pair(listener, program) as pair:
        pair.nodes[1].process.send_signal(signal.SIGUSR2)
        found = pair.ended()
        words = {what: server for what, server, _ in pair.heard() if what in ("LAMEDUCK", "SHUTDOWN")}
        if list(words) != ["LAMEDUCK"] * (not old(words)) + ["SHUTDOWN"]:
            found.append("lame duck without clients: %s" % list(words))
        return found, words


def with_clients(listener, program):
    """LAMEDUCK comes while clients are there, inside the server too; SHUTDOWN when they are not."""
    found = []
    with Pair(listener, program) as pair:
        local = Asker(pair.nodes[1], "sys")
        local.subscribe("$SYS.SERVER.*.LAMEDUCK")
        local.flush()
        client = Client(pair.nodes[1], "app")
        client.flush()  # it has had the first PONG, behind which it may be told
        pair.nodes[1].process.send_signal(signal.SIGUSR2)
        pump([client, local], lambda: b'"ldm":true' in client.info and b'"ldm":true' in local.info)
        word = pair.until("LAMEDUCK")
        pump([local], lambda: local.messages)
        if json.loads(local.messages[0].body) != word:
            found.append("another LAMEDUCK here than there: %r" % local.messages[0].body)
        others = json.loads(client.info.split(b" ", 1)[1])["connect_urls"]
        if others != ["127.0.0.1:%d" % pair.nodes[0].port]:
            found.append("clients are sent to %s" % others)
        pump([client, local], lambda: client.closed and local.closed)
        if client.errors + local.errors:
            found.append("clients are told %s" % (client.errors + local.errors))
        found += pair.ended()
        reasons = {body["reason"] for what, _, body in pair.heard() if what == "DISCONNECT" and "user" in body["client"]}
        if reasons != {"Server Shutdown"}:
            found.append("clients went by %s" % reasons)
        return found, {"LAMEDUCK": word}


def told_to_stop(listener, program):
    with Pair(listener, program) as pair:
        pair.nodes[1].process.send_signal(signal.SIGINT)
        found = pair.ended()
        words = {what: server for what, server, _ in pair.heard() if what in ("LAMEDUCK", "SHUTDOWN")}
        if list(words) != ["SHUTDOWN"]:
            found.append("stop: %s" % list(words))
        return found, words


SCENES = [beats, without_clients, with_clients, told_to_stop]


def play(scene, listener, program):
    try:
        return scene(listener, program)
    except Failure as error:
        return [str(error)], {}


def main():
    program, references = sys.argv[1], sys.argv[2:]
    old_ones = [path for path in references if "2.9." in subprocess.check_output([path, "-v"], text=True)]
    plays = [(scene, path) for scene in SCENES for path in [program] + references
             if scene is not with_clients or path not in old_ones]
    failed, words = 0, {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (scene, path), (found, said) in zip(plays, pool.map(lambda one: play(one[0], program, one[1]), plays)):
            own = words.setdefault(scene, said)  # Myelin's are the first
            for word in said:
                found += compare_value("server", said[word], own.get(word, {}), not old(said))
            failed += bool(found)
            print("last words: %s of %s: %s" % (scene.__name__, os.path.basename(path), found or "as expected"), flush=True)
    print("last words: %d passed, %d failed" % (len(plays) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
