#!/usr/bin/env python3
"""tests/integration/test_routez.py MYELIN REFERENCE... - what monitoring tells of a cluster.

A server with a route to a peer that it dials and one from a peer that dials it: its /routez, /varz, /accstatz and /connz
are compared key by key with those of each reference (a nats-server) in the same place; the peers are nats-servers of the
first reference's kind. Then a cluster of Myelin alone, on several shards, is asked for figures that are known exactly, and
for more subscriptions than fit into a page. Without a reference only this runs.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import exporter  # noqa: E402
from test_monitoring import Client, Comparison, Server, VOLATILE, wait_for  # noqa: E402

# What may come in or go out is listed, so that no traffic of nats-server's own services is counted.
MIDDLE = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: middle
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }
cluster {
  name: compared
  listen: "127.0.0.1:-1"
  authorization { user: r, password: r, timeout: 3 }
  routes: ["nats-route://r:r@127.0.0.1:%d"]
  permissions {
    import: { allow: ["in.>", "both"], deny: "in.no" }
    export: { allow: ["out.>", "both", "q.>"], deny: ["out.no.>"] }
  }
}
"""
PEER = """
listen: "127.0.0.1:-1"
server_name: %s
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }
cluster {
  name: compared
  listen: "127.0.0.1:-1"
  authorization { user: r, password: r, timeout: 3 }
  routes: [%s]
  permissions { import: "out.>" }
}
http: "127.0.0.1:-1"
"""

PLACES = VOLATILE + [
    (r"(^|\.)remote_id$", r"^N[A-Z2-7]{55}$"),
    (r"(^|\.)(rid|cluster_port)$", None),
    (r"^(connect_urls|cluster\.urls)\[\d+\]$", r"^127\.0\.0\.1:\d+$"),
]

NEWER = "newer than nats-server 2.9; Myelin shows what the newest shows"
INTERNAL = "nats-server counts its own subscriptions of system services; Myelin has none"
DIFFERENCES = [
    ("varz", r"in_client_|out_client_|stale_connection|stalled_clients$|config_digest|slow_consumer_stats", NEWER),
    ("varz", r"^(version|go|gomaxprocs)$", "another program"),
    ("varz", r"^feature_flags|^disk_io_wait_stats", "of JetStream, which Myelin has not"),
    ("varz", r"^subscriptions$", INTERNAL),
    ("varz", r"^http_req_stats\.", "as often as the test had to look"),
    ("varz", r"^cluster\.pool_size$", NEWER),
    ("accstatz", r"\.(name|num_subscriptions|sent\.(gateways|routes|leafs).*|received\.(gateways|routes|leafs).*)$", NEWER),
    ("accstatz", r"\.received\.(msgs|bytes)$", "2.9 does not count what came by routes; the newest does"),
    ("routez", r"^server_name$|\.remote_name$", NEWER),
    ("routez?subs=detail", r"\.msgs$", "Myelin does not count what goes to a single subscription of another server"),
    ("routez?subs=detail", r"\.sid$", "the newest puts the kind of connection before it"),
]
DIFFERENCES_OF_2_9 = [("routez", r"\.compression$", NEWER)]
DOCUMENTS = ["/routez", "/routez?subs=1", "/routez?subs=detail", "/varz", "/accstatz", "/connz?state=any&auth=1"]


class World:
    """A server in the middle, a peer that it dials, and one that dials it."""

    def __init__(self, program, peer_program, arguments=()):
        self.servers = []
        try:
            self.dialled = self.start(peer_program, PEER % ("dialled", ""))
            self.middle = self.start(program, MIDDLE % self.dialled.route_port, arguments)
            url = '"nats-route://r:r@127.0.0.1:%d"' % self.middle.route_port
            self.dialling = self.start(peer_program, PEER % ("dialling", url))
            wait_for("two routes", lambda: self.routez()["num_routes"] == 2)
            # A peer dials what it is told of: all three know each other then.
            wait_for("a full mesh", lambda: self.dialled.json("/routez")["num_routes"] == 2)
            self.clients = self.work()
        except BaseException:
            self.stop()
            raise

    def start(self, program, config, arguments=()):
        self.servers.append(Server(program, config, arguments))
        return self.servers[-1]

    def stop(self):
        for server in self.servers:
            server.stop()

    def routez(self, parameters=""):
        document = self.middle.json("/routez" + parameters)
        # The one that was dialled first; nats-server lists them in any order.
        document["routes"].sort(key=lambda route: not route["did_solicit"])
        for route in document["routes"]:
            route.get("subscriptions_list", []).sort()
            route.get("subscriptions_list_detail", []).sort(key=lambda s: (s["subject"], s.get("qgroup", "")))
        return document

    def subscriptions(self):
        return [route["subscriptions"] for route in self.routez()["routes"]]

    def work(self):
        """Interest and messages in both directions, as far as they may pass."""
        at_dialled = Client(self.dialled, "a", "at dialled")
        at_dialling = Client(self.dialling, "b", "at dialling")
        here = Client(self.middle, "a", "here")
        also_here = Client(self.middle, "b", "also here")
        # `both` and `q.x` are not imported by the peer, so it does not tell of them; `out.no.x` is not exported here.
        at_dialled.run("SUB out.x 1\r\nSUB out.* 2\r\nSUB out.x group 3\r\nSUB out.x group 4\r\nSUB out.no.x 5\r\nSUB both 6\r\n")
        at_dialling.run("SUB out.x 1\r\nSUB out.y 2\r\n")
        here.run("SUB in.x 1\r\nSUB in.no 2\r\nSUB both 3\r\n")
        wait_for("what the peers want is known", lambda: self.subscriptions() == [3, 2])
        at_dialling.run("UNSUB 2\r\n")
        wait_for("what is not wanted any more is forgotten", lambda: self.subscriptions() == [3, 1])
        here.run("PUB out.x 5\r\nhello\r\n" * 3 + "PUB out.no.x 4\r\nlost\r\n" + "PUB both 3\r\nabc\r\n")
        here.run("HPUB out.x 19 24\r\nNATS/1.0\r\na: bc\r\n\r\nhello\r\n")
        also_here.run("PUB out.x 2\r\nab\r\n")
        at_dialled.run("PUB in.x 4\r\nback\r\n")
        wait_for("messages have come and gone", lambda: [
            (route["in_msgs"], route["out_msgs"], route["rtt"] != "0s") for route in self.routez()["routes"]] ==
            [(1, 4, True), (0, 1, True)])
        wait_for("and are counted", lambda: (self.middle.json("/varz")["in_msgs"],
                                             self.middle.json("/varz")["out_msgs"]) == (8, 7))
        return [at_dialled, at_dialling, here, also_here]


def compare(reference, myelin, ordered):
    found = []
    for document in DOCUMENTS:
        theirs, ours = (world.routez(document.removeprefix("/routez")) if document.startswith("/routez") else
                        world.middle.json(document) for world in (reference, myelin))
        for value in (theirs, ours):
            value.get("account_statz", []).sort(key=lambda account: account["acc"])
            for connection in value["connections"] if document.startswith("/connz") else []:
                connection.pop("name_tag", None)  # 2.11 and newer
        comparison = Comparison(document, ordered, DIFFERENCES + ([] if ordered else DIFFERENCES_OF_2_9), PLACES)
        comparison.values("", theirs, ours)
        found += comparison.found
    return found


def check_wrong(server):
    status, _, body = server.get("/routez?subs=2")
    right = b"Error decoding boolean for 'subs': strconv.ParseBool: parsing \"2\": invalid syntax"
    return [] if (status, body) == (400, right) else ["/routez?subs=2: %d %r" % (status, body)]


MANY = 3000  # subscriptions: their texts fill several pages
NODE = """
no_system_account: true  # whose heartbeats and subscriptions would be counted too
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: %s
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }
cluster { name: many, listen: "127.0.0.1:-1", routes: [%s], pool_size: %s }
"""


def check_figures(program):
    """Three nodes with three shards each: every figure is known, and every subscription is listed once."""
    found, nodes = [], []

    def expect(what, good):
        if not good:
            found.append("figures: " + what)

    try:
        for name in ("one", "two", "three"):
            urls = ", ".join('"nats-route://127.0.0.1:%d"' % node.route_port for node in nodes)
            nodes.append(Server(program, NODE % (name, urls, -1), ["--shards", "3"]))
        for node in nodes:
            wait_for("two routes each", lambda node=node: node.json("/routez")["num_routes"] == 2)
        one, two, three = nodes
        listeners = [Client(two, "a", "x"), Client(two, "b", "y"), Client(three, "a", "z")]
        for listener in listeners[:2]:
            listener.run("".join("SUB many.%s.%d %d\r\n" % ("x" * 30, n, n) for n in range(MANY)))
            listener.run("".join("SUB many.%d queue %d\r\n" % (n % 10, MANY + n) for n in range(100)))
        listeners[2].run("SUB few 1\r\n")

        def told():
            return {route["remote_name"]: route["subscriptions"] for route in one.json("/routez")["routes"]}

        wait_for("all interest is known", lambda: told() == {"two": 2 * (MANY + 10), "three": 1})
        publisher = Client(one, "a", "publisher")
        publisher.run("PUB many.%s.7 3\r\nabc\r\n" % ("x" * 30) * 500 + "PUB few 1\r\na\r\n" * 70)
        wait_for("all has been sent", lambda: one.json("/varz")["out_msgs"] == 570)
        wait_for("and received", lambda: two.json("/varz")["in_msgs"] == 500 and three.json("/varz")["in_msgs"] == 70)

        entries = {route["remote_name"]: route for route in one.json("/routez?subs=detail")["routes"]}
        rids = [route["rid"] for route in one.json("/routez")["routes"]]
        expect("entries by number", rids == sorted(rids) and len(set(rids)) == 2)
        listed = [subscription["sid"] for subscription in entries["two"]["subscriptions_list_detail"]]
        wanted = {"%s many.%s.%d" % (account, "x" * 30, n) for account in "AB" for n in range(MANY)}
        wanted |= {"%s many.%d queue" % (account, n) for account in "AB" for n in range(10)}
        expect("all subscriptions are listed once", len(listed) == len(wanted) and set(listed) == wanted)
        expect("those of one", entries["three"]["subscriptions_list_detail"] ==
               [{"subject": "few", "sid": "A few", "msgs": 0, "cid": entries["three"]["rid"]}])
        expect("its counts", [entries["two"][key] for key in ("in_msgs", "in_bytes", "out_msgs", "out_bytes")] ==
               [0, 0, 500, 1500] and entries["three"]["out_msgs"] == 70)
        subjects = {route["remote_name"]: route.get("subscriptions_list", []) for route in
                    one.json("/routez?subs=1")["routes"]}
        expect("subjects alone", len(subjects["two"]) == len(wanted) and subjects["three"] == ["few"])
        expect("none where none are asked for", all("subscriptions_list" not in route for route in
                                                    one.json("/routez")["routes"]))
        varz = one.json("/varz")
        expect("/varz counts", [varz[key] for key in ("routes", "remotes", "connections", "total_connections", "in_msgs",
                                                     "in_client_msgs", "out_msgs", "out_client_msgs", "subscriptions")] ==
               [2, 2, 1, 1, 570, 570, 570, 0, 2 * (MANY + 10) + 1])
        expect("routes are not listed as connections", one.json("/connz?state=any")["total"] == 1)
        sent = {account["acc"]: account for account in one.json("/accstatz")["account_statz"]}["A"]
        expect("/accstatz counts", sent["sent"] == {"msgs": 570, "bytes": 1570, "gateways": {"msgs": 0, "bytes": 0}, "routes":
                                                    {"msgs": 570, "bytes": 1570}, "leafs": {"msgs": 0, "bytes": 0}} and
               sent["num_subscriptions"] == MANY + 10 + 1)
        came = {account["acc"]: account for account in two.json("/accstatz")["account_statz"]}["A"]["received"]
        expect("/accstatz counts what came", came == {"msgs": 500, "bytes": 1500, "gateways": {"msgs": 0, "bytes": 0},
                                                      "routes": {"msgs": 500, "bytes": 1500}, "leafs": {"msgs": 0, "bytes": 0}})
        metrics = one.get("/metrics")[2].decode()
        expect("/metrics", 'myelin_route_out_messages_total{rid="%d",remote_id="%s",remote_name="two"} 500\n' %
               (entries["two"]["rid"], entries["two"]["remote_id"]) in metrics)
        expect("/metrics has as many routes as there are", metrics.count("myelin_route_rtt_seconds{") == 2)
        found.extend(exporter.differences(one))
        for listener in listeners:
            listener.close()
        wait_for("nothing is wanted any more", lambda: told() == {"two": 0, "three": 0})
        expect("an empty list is left out", all("subscriptions_list" not in route for route in
                                                one.json("/routez?subs=1")["routes"]))
        nodes.remove(two)
        two.stop()
        wait_for("one route is left", lambda: one.json("/routez")["num_routes"] == 1 and one.json("/varz")["remotes"] == 1)
    finally:
        for node in nodes:
            node.stop()
    return found


def check_pools(program):
    """Two nodes with a pool: every line is an entry, and what is wanted is listed with the account's line."""
    found, nodes = [], []
    try:
        for name in ("one", "two"):
            urls = ", ".join('"nats-route://127.0.0.1:%d"' % node.route_port for node in nodes)
            nodes.append(Server(program, NODE % (name, urls, "3, accounts: [B]"), ["--shards", "3"]))
        one, two = nodes
        for node in nodes:
            wait_for("a full pool", lambda node=node: node.json("/routez")["num_routes"] == 4)
        listener = Client(two, "a", "x")
        listener.run("SUB foo 1\r\nSUB bar q 2\r\n")
        wait_for("interest is known", lambda: sum(r["subscriptions"] for r in one.json("/routez")["routes"]) == 2)
        routes = one.json("/routez?subs=1")["routes"]
        lists = sorted(sorted(r.get("subscriptions_list", [])) for r in routes)
        if [r.get("account") for r in routes].count("B") != 1 or lists != [[], [], [], ["bar", "foo"]]:
            found.append("pools: %r" % routes)
        if [(r["did_solicit"], r["is_configured"]) for r in two.json("/routez")["routes"]] != [(True, True)] * 4:
            found.append("pools: who dialled")
        varz = one.json("/varz")
        if (varz["routes"], varz["remotes"], varz["cluster"]["pool_size"]) != (4, 1, 3):
            found.append("pools: /varz")
    finally:
        for node in nodes:
            node.stop()
    return found


COMPRESSED = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: %s
cluster { name: c, listen: "127.0.0.1:-1", routes: [%s], pool_size: -1, compression: %s }
"""
# What one side and the other ask for, and what /routez shows of each.
COMPRESSIONS = [
    ("accept", "accept", "off", "off"),
    ("s2_better", "accept", "s2_better", "s2_better"),
    ("s2_fast", "s2_best", "s2_fast", "s2_best"),
    ("off", "s2_fast", "off", "off"),
    ("not_supported", "s2_fast", "not supported", "not supported"),
    # The round trip is short: so long as it is below the first threshold nothing is compressed.
    ("s2_auto", "accept", "s2_uncompressed", "s2_fast"),
    ("{mode: s2_auto, rtt_thresholds: [0s, 0s, 10s]}", "s2_fast", "s2_better", "s2_fast"),
]


def check_compression(program):
    found = []
    for one_says, other_says, one_shows, other_shows in COMPRESSIONS:
        nodes = []
        try:
            for name, mode in (("one", one_says), ("other", other_says)):
                urls = ", ".join('"nats-route://127.0.0.1:%d"' % node.route_port for node in nodes)
                nodes.append(Server(program, COMPRESSED % (name, urls, mode)))

            def shown():  # the $SYS account may have a route of its own
                return [{route.get("compression") for route in node.json("/routez")["routes"]} for node in nodes]

            wait_for("%s and %s show %s and %s" % (one_says, other_says, one_shows, other_shows),
                     lambda: shown() == [{one_shows}, {other_shows}])
        except Exception as error:  # pylint: disable=broad-except
            found.append("%s and %s: %s; %r" % (one_says, other_says, error, shown()))
        finally:
            for node in nodes:
                node.stop()
    return found


def main():
    myelin, references = sys.argv[1], sys.argv[2:]
    failed = passed = 0
    results = [("Myelin's figures of routes", check_figures(myelin)), ("Myelin's pools", check_pools(myelin)),
               ("Myelin's compression", check_compression(myelin))]
    worlds = []
    try:
        if references:
            own = World(myelin, references[0], ["--shards", "2"])
            worlds.append(own)
            results.append(("a wrong question", check_wrong(own.middle)))
        for reference in references:
            worlds.append(World(reference, references[0]))
            version = worlds[-1].middle.json("/varz")["version"]
            if not version.startswith("2.9."):
                results.append(("compression in %s" % version, check_compression(reference)))
            results.append(("a cluster compared with %s" % version,
                            compare(worlds[-1], own, not version.startswith("2.9."))))
    finally:
        for world in worlds:
            world.stop()
    for what, found in results:
        print("monitoring: %s: %s" % (what, "as expected" if not found else "%d differences" % len(found)))
        for line in found:
            print("   ", line)
        failed += len(found) > 0
        passed += not found
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
