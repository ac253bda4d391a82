#!/usr/bin/env python3
"""bench/security.py - what permissions and accounts cost: the server's CPU time for the same traffic with and without.

Pairs of runs on fresh servers, in turn, so that a noisy moment hits both; the table shows the best and the median of
each. See docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import Server, stop  # noqa: E402

RUN_SECONDS = 120
PATTERNS = 50  # in the list of the user with permissions
CONFIGURATION = """accounts {
 ONE { users: [ {user: free, password: p}
  {user: limited, password: p, permissions: {publish: [%s, "bench", "bench.>"], subscribe: [%s, "bench", "bench.>"]}}
  {user: filtered, password: p, permissions: {subscribe: {deny: [%s]}}} ] }
 EXP { users: [ {user: exp, password: p} ], exports: [ {stream: "bench.>"}, {service: "bench"} ] }
 IMP { users: [ {user: imp, password: p} ], imports: [
  {stream: {account: EXP, subject: "bench.>"}, prefix: from}, {service: {account: EXP, subject: "bench"}, to: ask} ] }
}
""" % tuple(", ".join(f'"{word}.{number}.>"' for number in range(PATTERNS)) for word in ("pub", "sub", "bench.no"))


class Case:
    """Words of myelin-bench for each of its processes; the last one ends the run."""

    def __init__(self, name, messages, *processes):
        self.name, self.messages = name, messages
        self.processes = [words.format(messages=messages).split() for words in processes]


def pair(title, messages, *cases):
    return title, [Case(name, messages, *processes) for name, *processes in cases]


def as_user(user, words):
    return f"{words} --messages {{messages}} --user {user} --pass p"


def across(kind, user, words, other, other_words):
    return kind, as_user(user, words), as_user(other, other_words)


REPLY, REQUEST = "reply --subject bench", "request --subscribers 0 --size 16"
USERS = ("free", "limited", "filtered")
PAIRS = [
    pair("published and delivered", 3000000, *[(user, as_user(user, "pubsub --size 16")) for user in USERS]),
    pair("published, 64 subjects in turn", 3000000,
         *[(user, as_user(user, "pub --size 16 --subjects 64")) for user in USERS[:2]]),
    pair("published, 1000 subjects in turn", 3000000,
         *[(user, as_user(user, "pub --size 16 --subjects 1000")) for user in USERS[:2]]),
    pair("stream, one account or an import", 3000000,
         across("one account", "exp", "sub --subject bench.0", "exp", "pub --subject bench.0 --size 16"),
         across("import", "imp", "sub --subject from.bench.0", "exp", "pub --subject bench.0 --size 16")),
    pair("requests, 64 at a time", 150000,
         across("one account", "exp", REPLY, "exp", REQUEST + " --subject bench --in-flight 64"),
         across("import", "exp", REPLY, "imp", REQUEST + " --subject ask --in-flight 64")),
    pair("requests, one at a time", 15000,
         across("one account", "exp", REPLY, "exp", REQUEST + " --subject bench"),
         across("import", "exp", REPLY, "imp", REQUEST + " --subject ask")),
]


def cpu_ns(pid):
    """What all threads of a process have used."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def run(options, case, configuration):
    """CPU ns of the server for each message."""
    server, port = Server("myelin", options.myelin, ["-c", configuration, "--shards", "1", "--busy_poll", "0s"]).start()
    others = []
    try:
        where = ["--server", f"127.0.0.1:{port}", "--quiet", "--json"]
        before = cpu_ns(server.pid)
        for words in case.processes[:-1]:
            others.append(subprocess.Popen([options.bench, *words, *where], stdout=subprocess.DEVNULL))
            time.sleep(0.2)  # it has to have subscribed; a run that loses messages does not end well
        subprocess.run([options.bench, *case.processes[-1], *where], check=True, capture_output=True,
                       timeout=RUN_SECONDS)
        for other in others:
            if other.wait(RUN_SECONDS) != 0:
                raise RuntimeError(f"{other.args} failed")
        return (cpu_ns(server.pid) - before) / case.messages
    finally:
        for process in others + [server]:
            stop(process)


def main():
    parser = argparse.ArgumentParser(description="What permissions and accounts cost; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a title")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        configuration = os.path.join(folder, "bench.conf")
        with open(configuration, "w", encoding="ascii") as file:
            file.write(CONFIGURATION)
        for title, cases in PAIRS:
            if options.only not in title:
                continue
            figures = {case.name: [] for case in cases}
            for number in range(options.rounds):
                for case in cases[number % len(cases):] + cases[:number % len(cases)]:
                    figures[case.name].append(run(options, case, configuration))
            base = min(figures[cases[0].name])
            for name, values in figures.items():
                print(f"{title:34} {name:12} best {min(values):9.1f} ns  median {statistics.median(values):9.1f} ns"
                      f"  {min(values) - base:+7.1f} ns  {min(values) / base:5.2f} times", flush=True)


if __name__ == "__main__":
    main()
