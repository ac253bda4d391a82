"""tests/interop/page/super_cluster.py - scenes of the live page (run.py) in which nothing is made up: a super-cluster of three
clusters with messages between them, a cluster that goes, and a consumer that is too slow.
"""
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "integration"))
from cluster_client import free_ports  # noqa: E402
from test_connz import closed, slow  # noqa: E402
from test_monitoring import Client, Server, wait_for  # noqa: E402

CONFIG = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: %(name)s
max_payload: 900000
max_pending: 1000000
accounts { A { users: [{user: a, password: a}] } }
%(routes)s
gateway { name: %(cluster)s, listen: "127.0.0.1:%(port)d", gateways: [%(gateways)s] }
"""
NODES = "[...document.querySelectorAll('#cluster .node .name')].map((one) => one.textContent).sort().join(' ')"
PEERS = "document.getElementById('peers').innerText"


class SuperCluster:
    """here and beside in G0, one server each in G1 and G2."""

    def __init__(self, program):
        ports = dict(zip(("here", "beside", "G1", "G2"), free_ports(4)))
        gateways = ", ".join('{name: %s, url: "nats://127.0.0.1:%d"}' % (name, ports[port])
                             for name, port in (("G0", "here"), ("G1", "G1"), ("G2", "G2")))
        self.servers = {}
        for name, cluster in (("here", "G0"), ("beside", "G0"), ("G1", "G1"), ("G2", "G2")):
            routes = "" if cluster != "G0" else 'cluster { name: G0, listen: "127.0.0.1:-1", %s }' % (
                'routes: ["nats://127.0.0.1:%d"]' % self.servers["here"].route_port if name == "beside" else "")
            self.servers[name] = Server(program, CONFIG % {"name": "server-" + name, "routes": routes, "cluster": cluster,
                                                           "port": ports[name], "gateways": gateways})
        wait_for("the clusters know each other", lambda: all(
            len(server.json("/gatewayz")["outbound_gateways"]) == 2 for server in self.servers.values()))
        self.publisher = Client(self.servers["here"], "a", "publisher")
        self.receivers = [Client(self.servers[name], "a", "receiver") for name in ("beside", "G1")]
        for receiver in self.receivers:
            receiver.run("SUB crossing 1\r\n")
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.publish)] + [threading.Thread(target=self.take, args=(receiver,))
                                                                  for receiver in self.receivers]
        for thread in self.threads:
            thread.start()

    def publish(self):
        while not self.ending.wait(0.005):
            self.publisher.run("PUB crossing 5\r\nhello\r\n" * 10)

    @staticmethod
    def take(receiver):
        while receiver.stream.read(4096):
            pass

    def stop_one(self, name):
        self.servers.pop(name).stop()

    def end(self):
        self.ending.set()
        self.threads[0].join()
        for receiver in self.receivers:
            receiver.socket.shutdown(2)
        for thread in self.threads[1:]:
            thread.join()
        for name in list(self.servers):
            self.stop_one(name)


def neighbours(test):
    """Another server of the cluster and two clusters are drawn and told of; one cluster goes."""
    browser = test.browser
    browser.wait("the server beside this one and both other clusters are drawn", NODES + " === 'G1 G2 server-beside server-here'")
    note = browser.run("return document.getElementById('cluster-note').textContent")
    test.check("they are counted", note.startswith("1 in the cluster, 2 gateways"), note)
    browser.click("#cluster-details summary")
    browser.wait("messages that cross are told of", r"/server-beside\s+route\s+[34]\s+[1-9][\s\S]*G1\s+gateway\s+[12]\s+[1-9]\d[\s\S]*G2\s+gateway\s+[12]\s+[\d.]+\/s/.test(%s)" % PEERS)
    peers = browser.run("return " + PEERS)
    crossing, quiet = (float(re.search(r"%s\s+gateway\s+[12]\s+([\d.]+)/s" % name, peers).group(1)) for name in ("G1", "G2"))
    test.check("none where nobody listens, but what servers tell each other", quiet < crossing / 4, peers)
    browser.wait("round trips are measured", r"/G1\s+gateway\s+[12]\s+\S+\s+0 B\s+[\d.]+ (ns|µs|ms)/.test(%s)" % PEERS)
    captions = browser.run("return [...document.querySelectorAll('#cluster .node')].map((one) => one.textContent)")
    test.check("the picture tells how much", any("G1" in one and "msg/s" in one for one in captions), captions)
    for width in (1280, 390):
        browser.size(width)
        test.keep("super-cluster", width)
    browser.size(1280)


def too_slow(test, server):
    """A real consumer that does not read is counted, listed and marked."""
    browser = test.browser
    tile = "[...document.querySelectorAll('#tiles .tile')].find((one) => /^Slow consumers/.test(one.innerText))"
    test.check("nobody was slow before", "0" in browser.run("return %s.innerText" % tile).split())
    slow(900000, lambda server, client: closed(server, client.cid))(server).close()
    browser.wait("the tile tells of it", r"/Slow consumers\s+1\s+1 in these minutes/.test(%s.innerText)" % tile)
    test.check("and is marked", "alarm" in browser.run("return %s.className" % tile).split())
    browser.wait("it is listed with the reason", r"/slow\s+Slow Consumer \(Pending Bytes\)/.test(document.getElementById('closed').innerText)")
    marked = browser.run("return [...document.querySelectorAll('#closed tbody tr')].filter((one) => /alarm/.test(one.className))"
                         ".map((one) => one.innerText)")
    test.check("and marked there, alone", len(marked) == 1 and marked[0].startswith("slow"), marked)
    browser.wait("its account has one", r"/A\s+\d+\s+\d+\s+\S+\s+\S+\s+1\s*$/m.test(document.getElementById('accounts').innerText)")
    test.keep("slow", 1280)


def play(test):
    browser = test.browser
    world = SuperCluster(test.program)
    try:
        browser.size(1280)
        browser.open("http://127.0.0.1:%d/" % world.servers["here"].http_port)
        browser.run("const s = document.getElementById('interval'); s.value = '1000'; s.dispatchEvent(new Event('change'))")
        neighbours(test)
        too_slow(test, world.servers["here"])
        world.stop_one("G2")
        browser.wait("a cluster that has gone is not drawn", NODES + " === 'G1 server-beside server-here'")
        test.quiet("in a super-cluster")
        browser.open("about:blank")
    finally:
        world.end()
