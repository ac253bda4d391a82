#!/usr/bin/env python3
"""tests/integration/test_top.py SERVER... - what nats-top asks of the monitoring port and reads in the answers.

nats-top itself cannot be installed everywhere (docs/interop.md), so this sends its requests and asks of each key that it
reads whether it is there, in the type that Go's decoder takes. Every server given has to pass it.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_monitoring import TIME, Client, Server, moment, workload  # noqa: E402

# What nats-top reads. It decodes whole documents into Go's structs, so a number that is no integer anywhere else spoils all.
GO_FLOATS = {"cpu", "auth_timeout", "tls_timeout"}
TOP_VARZ = {"cpu": (int, float), "mem": int, "uptime": str, "in_msgs": int, "out_msgs": int, "in_bytes": int, "out_bytes": int,
            "slow_consumers": int, "server_id": str, "server_name": str, "version": str, "now": str}
TOP_CONNECTION = {"cid": int, "ip": str, "port": int, "name": str, "subscriptions": int, "pending_bytes": int, "in_msgs": int,
                  "out_msgs": int, "in_bytes": int, "out_bytes": int, "lang": str, "version": str, "uptime": str, "last_activity": str}
TOP_SORTS = ("cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last", "idle", "uptime")


def check_top(server):
    """The requests of nats-top, and what it makes of the answers: all that it reads is there, in the types that it wants."""
    found = []

    def typed(what, document, types):
        found.extend("nats-top: %s of %s is %r" % (key, what, document.get(key)) for key, type_of in types.items()
                     if not isinstance(document.get(key), type_of) or isinstance(document.get(key), bool))
        found.extend("nats-top: %s of %s is no integer: %r" % (key, what, value) for key, value in document.items()
                     if isinstance(value, float) and key not in GO_FLOATS)

    def poll(sort):
        varz, connz = server.json("/varz"), server.json("/connz?limit=1024&sort=%s&subs=1" % sort)
        typed("/varz", varz, TOP_VARZ)
        typed("/connz", connz, {"num_connections": int, "connections": list})
        for connection in connz["connections"]:
            typed("a connection", connection, TOP_CONNECTION)
            for name in ("start", "last_activity"):
                if not re.search(TIME, connection[name]):
                    found.append("nats-top: %s is %r" % (name, connection[name]))
        return varz, {connection["name"]: connection for connection in connz["connections"]}

    client = Client(server, "a", "top")
    client.run("SUB top.one 1\r\n")
    before, _ = poll("cid")
    client.run("PUB top.one 3\r\nabc\r\n" * 10)
    after, connections = poll("bytes_to")
    if after["in_msgs"] - before["in_msgs"] != 10 or after["out_bytes"] - before["out_bytes"] != 30 or \
            moment(after["now"]) <= moment(before["now"]):
        found.append("nats-top: no rates from %r and %r" % (before, after))
    if connections["top"]["subscriptions_list"] != ["top.one"] or (connections["top"]["in_msgs"], connections["top"]["out_bytes"]) != (10, 30):
        found.append("nats-top: %r" % connections["top"])
    for sort in TOP_SORTS:
        poll(sort)
    client.close()
    return found


def main():
    failed = 0
    for program in sys.argv[1:]:
        server = Server(program)
        try:
            clients = workload(server)
            found = check_top(server)
            for client in clients:
                client.close()
        finally:
            server.stop()
        print("nats-top: %s: %s" % (program, "as expected" if not found else "%d differences" % len(found)))
        for line in found:
            print("   ", line)
        failed += bool(found)
    print("%d passed, %d failed" % (len(sys.argv) - 1 - failed, failed))
    return 1 if failed or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
