#!/usr/bin/env python3
"""tests/integration/test_metrics.py MYELIN - the values of Myelin's own figures, in /metrics, /subsz and /accountz.

A server with one shard does a known piece of work; then its figures are what that work was.
"""
import re
import sys

import exporter
from test_monitoring import Client, Server, wait_for

ENGINE = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
receive_buffers: 64
"""
CLUSTERED = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
accounts { SYS { users: [{user: sys, password: sys}] } }
system_account: SYS
cluster { name: alone, listen: "127.0.0.1:-1" }
"""
IMPATIENT = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
ping_interval: "50ms"
ping_max: 1
"""


def check_matches(program):
    """What /subsz tells of cached matches, of more than a page looks at: 400 subjects without anybody, and three with."""
    found = []
    server = Server(program, arguments=("--shards", "1"))
    here, other, there = Client(server, "a", "here"), Client(server, "a", "other"), Client(server, "b", "there")
    here.run("SUB many.* 1\r\nSUB many.x 2\r\nSUB many.x 3\r\nSUB many.x g 4\r\nSUB many.x g 5\r\nSUB one 6\r\n")
    there.run("SUB b.* 1\r\nPUB b.x 1\r\nx\r\n")
    here.run("PUB many.x 1\r\nx\r\nPUB one 1\r\nx\r\n" + "".join("PUB alone.%d 1\r\nx\r\n" % i for i in range(400)))
    other.run("PUB one 1\r\nx\r\n")
    keys = ("num_subscriptions", "num_cache", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout")
    for place, figures, expected in (
            ("/subsz?acc=A", server.json("/subsz?acc=A"), [6, 402, 403, 1 / 403, 4, 5 / 402]),
            ("/accountz?acc=A", server.json("/accountz?acc=A")["account_detail"]["sublist_stats"], [6, 402, 403, 1 / 403, 4, 5 / 402]),
            ("/subsz?acc=B", server.json("/subsz?acc=B"), [1, 1, 1, 0, 1, 1]),
            ("/subsz?acc=NOPE", server.json("/subsz?acc=NOPE"), [0, 0, 0, 0, 0, 0])):
        if [figures[key] for key in keys] != expected:
            found.append("%s: %r, not %r" % (place, figures, expected))
    whole = server.json("/subsz")  # with what the server asks itself
    if whole["max_fanout"] != 4 or not whole["num_cache"] >= 403 or not 0 < whole["avg_fanout"] <= 6 / 403:
        found.append("/subsz: %r" % whole)
    shown = exporter.shown(server)
    found += ["/metrics: %s is %s" % (key, shown["gnatsd_subsz_" + key]) for key in keys[1:2] + keys[4:]
              if abs(shown["gnatsd_subsz_" + key] - whole[key]) > 1e-9]
    for client in (here, other, there):
        client.close()
    server.stop()
    return found


def check_engine(program):
    """The figures of a shard are what it did: a hundred messages of one size to two, and connections that ended."""
    found = []
    server = Server(program, ENGINE, ("--shards", "1"))

    def engine(of=server):
        values = exporter.shown(of)
        return {name[len("myelin_shard_"):-len('{shard="0"}')]: value for name, value in values.items()
                if name.startswith("myelin_shard_")}

    def expect(what, good, *values):
        if not good:
            found.append("engine: %s: %r" % (what, values))

    impatient = Server(program, IMPATIENT, ("--shards", "1"))
    silent = Client(impatient, "", "silent")
    wait_for("a client that does not answer is given up", lambda: engine(impatient)["stale_connections_total"] == 1)
    silent.close()
    impatient.stop()

    Client(server, "", "brief").close()
    wait_for("it is remembered", lambda: engine()["closed_kept"] == 1 and engine()["connections"] == 0)
    before = engine()
    client = Client(server, "", "busy")
    client.run("SUB foo 1\r\nSUB foo 2\r\n" + "PUB foo 5\r\nhello\r\n" * 100)
    open_now = engine()
    client.close()
    wait_for("it is gone", lambda: engine()["closed_kept"] == 2)
    after = engine()
    grown = {name: after[name] - before[name] for name in after}
    expect("bytes of deliveries", grown["written_bytes_total"] == 200 * len("MSG foo 1 5\r\nhello\r\n"), grown["written_bytes_total"])
    expect("connections", open_now["connections"] == 1 and after["connections"] == 0)
    expect("nobody was slow or stale", after["stale_connections_total"] == after["slow_consumers_total"] == after["stalls_total"] == 0,
           after)
    expect("cached matches", grown["match_cache_misses_total"] >= 1 and after["match_cache_entries"] >= 1 and
           after["match_cache_bytes"] > 0, grown)
    expect("turns and their time", grown["turns_total"] > 0 and grown["turn_seconds_total"] > 0 and
           0 < after["turn_seconds_max"] <= after["turn_seconds_total"], grown, after)
    expect("processor time", after["cpu_seconds_total"] > before["cpu_seconds_total"] > 0, after)
    expect("the ring", grown["ring_enters_total"] > 0 and grown["ring_submissions_total"] >= 3 and
           grown["ring_completions_total"] >= 3 and after["ring_overflows_total"] == after["ring_dropped_total"] == 0, grown)
    expect("waits", 0 < grown["sleeps_total"] <= grown["turns_total"] >= grown["looks_total"] >= 0, grown)
    expect("buffers", after["receive_buffers"] == 64 == after["receive_buffers_window"] + after["receive_buffers_spare"] and
           after["receive_buffers_window"] > 0 and after["receives_without_buffer_total"] == 0, after)
    expect("mail", after["mailbox_bytes"] == 0, after["mailbox_bytes"])
    expect("pages", grown["report_pages_total"] >= 2 and 0 < after["report_page_seconds_max"] <= after["report_seconds_total"], after)
    expect("nothing runs backwards", all(after[name] >= before[name] for name in after if name.endswith("_total")), before, after)
    server.stop()
    return found


def check_own(program):
    """What each shard of a server with a cluster wants of the system account for itself is no subscription of that account."""
    server = Server(program, CLUSTERED, ("--shards", "3"))
    clients = [Client(server, "sys", "client %d" % i) for i in range(3)]  # one on each shard
    found = []
    for wanted in range(4):
        if wanted > 0:
            clients[wanted - 1].run("SUB $SYS.REQ.x 1\r\n")
        shown = server.json("/subsz?acc=SYS")["num_subscriptions"]
        if shown != wanted:
            found.append("%d subscriptions of %d" % (shown, wanted))
    for client in clients:
        client.close()
    server.stop()
    return found


def check_accounts(program, count=1500):
    """More accounts than are told of in one step: each is there once in each metric of accounts, which begins once."""
    names = ["T%d" % i for i in range(count)]
    server = Server(program, ENGINE + "accounts { %s }\n" % ", ".join(name + " {}" for name in names), ("--shards", "1"))
    lines = server.get("/metrics")[2].decode().splitlines()
    server.stop()
    found, told, current = [], {}, None
    for line in lines:
        if line.startswith("# TYPE "):
            current = line.split()[2]
            if current in told:
                found.append("accounts: %s begins twice" % current)
            told[current] = []
        elif not line.startswith("#"):
            account = re.search(r'account_name="(\w*)"', line)
            told[current] += [account[1]] if account and line.startswith(current + "{") else []
    of_accounts = [name for name in told if name.startswith(("gnatsd_accstatz_", "gnatsd_accountz_"))]
    found += ["accounts: %s has %d" % (name, len(told[name])) for name in of_accounts
              if [account for account in told[name] if account.startswith("T")] != names]
    if len(of_accounts) != 24 or not lines[-1] or "myelin_shard_connections" not in told:
        found.append("accounts: %d metrics of them, then %r" % (len(of_accounts), lines[-1:]))
    return found


def main():
    failed = 0
    for what, check in (("cached matches", check_matches), ("a shard's figures", check_engine),
                        ("the server's own subscriptions", check_own), ("many accounts", check_accounts)):
        found = check(sys.argv[1])
        print("metrics: %s: %s" % (what, "as expected" if not found else "%d differences" % len(found)))
        for line in found:
            print("   ", line)
        failed += len(found) > 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
