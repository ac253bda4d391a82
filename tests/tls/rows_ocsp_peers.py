"""tests/tls/rows_ocsp_peers.py - clients whose certificates OCSP responders are asked about: who may come, what the log and the
system account say, what is remembered, and who waits for a slow responder."""
import json
import os
import socket
import time
import urllib.request

from authority import Authority
from cases import OWN, case, case_in, refused
from responder import Responder
from server import Client, Server, trust

NEW = ("myelin", "2.10")
REFUSAL = "TLS handshake error: client not OCSP valid"
ACCOUNTS = '''accounts { SYS { users: [{user: sys, password: p}] }, A { users: [{user: a, password: p}] } }
system_account: SYS
'''


class World:
    """An authority with a responder; clients with certificates that name it ("alice", "bob") and one without ("plain")."""

    def __init__(self, run):
        self.run, self.folder = run, os.path.join(run.server.folder, "world")
        os.mkdir(self.folder)
        self.ca = Authority(self.folder, "root")
        self.responder = Responder(self.ca)
        self.identities = {"plain": self.ca.issue("plain")}
        self.ca.issue("server", names="DNS:localhost,IP:127.0.0.1")
        for name in ("alice", "bob"):
            self.identities[name] = self.ca.issue(name, "/O=Org/CN=" + name, responder=self.responder.url)
        self.count = 0

    def configuration(self, peer, top=""):
        return (f'{ACCOUNTS}{top}\ntls {{ cert_file: "{self.folder}/server.pem", key_file: "{self.folder}/server.key", '
                f'ca_file: "{self.ca.file}", verify: true, timeout: 20\nocsp_peer: {peer} }}\n')

    def begin(self, peer="{ verify: true, ca_timeout: 20 }", top="", folder=None):
        self.count += 1
        folder = os.path.join(self.folder, str(self.count)) if folder is None else folder
        os.makedirs(folder, exist_ok=True)
        self.run.server.stop()
        self.run.server = Server(self.run.program, folder, self.configuration(peer, top))
        return self.run.server

    def client(self, name, user="a"):
        client = Client(self.run.server).secure(trust(self.ca, self.identities[name]))
        return client.hello(user=user, **{"pass": "p"})

    def crowd(self, count):
        """Names of so many more with a certificate that names the responder."""
        names = [f"crowd{i}" for i in range(count)]
        for name in names:
            self.identities[name] = self.ca.issue(name, responder=self.responder.url)
        return names

    def waiting(self, name):
        """A client that has sent its login; nobody waits for the answer yet."""
        return Client(self.run.server).secure(trust(self.ca, self.identities[name])).login(user="a", **{"pass": "p"})

    def refused(self, name):
        refused(lambda: self.client(name))


def peers(only=NEW, why="newer servers only"):
    return case_in(World, only, why)


@peers()
def good_certificates_may_come(world):
    """By the openssl command and byte by byte; with one that names no responder nobody is asked."""
    world.responder.by_openssl = True
    server = world.begin()
    server.expect("OCSP peer cache online, type [local]")
    world.client("alice")
    assert world.responder.asked == [("GET", "alice")], world.responder.asked
    world.responder.by_openssl = False
    world.client("bob")
    world.client("plain")
    assert len(world.responder.asked) == 2, world.responder.asked


@peers()
def bad_certificates_may_not(world):
    """Revoked, unknown, and whatever is no answer; each time the log says why."""
    server = world.begin(top="ocsp_cache: false")
    responder = world.responder
    for status in ("revoked", "unknown"):
        responder.status["alice"] = status
        world.refused("alice")
        server.expect(f"OCSP verify fail for [CN=alice,O=Org] with CA status [{status}]")
    server.expect_count(REFUSAL, 2)
    responder.status.clear()
    responder.broken = b"not DER"
    world.refused("alice")
    server.expect_count(REFUSAL, 3)
    responder.broken, responder.signer, responder.with_certificate = None, "bob", "bob"
    world.refused("alice")
    server.expect("Invalid OCSP response delegation: CN=alice,O=Org", "missing OCSP signing delegation",
                  "Failed OCSP response parse", "Could not parse OCSP CA response for [CN=alice,O=Org]")
    server.expect_count(REFUSAL, 4)
    responder.signer, responder.with_certificate = "root", None
    for since, lasts in ((-7200, 3600), (7200, 3600), (-7200, None)):
        responder.since, responder.lasts = since, lasts
        world.refused("alice")
    server.expect_count("New OCSP CA response obtained for [CN=alice,O=Org] but not current", 3)
    responder.since, responder.lasts = -5, 3600
    world.client("alice")
    responder.close()
    world.refused("alice")
    server.expect("Attempt to obtain OCSP response from CA responder for [CN=alice,O=Org] failed: ")
    server.expect_count(REFUSAL, 8)


@peers()
def the_rules_may_be_loosened(world):
    """unknown_is_good, allow_when_ca_unreachable, warn_only, allowed_clockskew, cache_ttl_when_next_update_unset."""
    responder = world.responder
    responder.status = {"alice": "unknown", "bob": "revoked"}
    world.begin("{ verify: true, ca_timeout: 20, unknown_is_good: true }", "ocsp_cache: false")
    world.client("alice")
    world.refused("bob")
    server = world.begin("{ verify: true, ca_timeout: 20, warn_only: true }", "ocsp_cache: false")
    world.client("bob")
    server.expect("OCSP verify fail for [CN=bob,O=Org] but WarnOnly is true so allowing")
    responder.status, responder.since, responder.lasts = {}, -7200, 3600
    world.begin("{ verify: true, ca_timeout: 20, allowed_clockskew: 3700 }", "ocsp_cache: false")
    world.client("alice")
    responder.lasts = None
    world.begin('{ verify: true, ca_timeout: 20, cache_ttl_when_next_update_unset: "3h" }', "ocsp_cache: false")
    world.client("alice")
    responder.close()
    world.refused("alice")
    server = world.begin("{ verify: true, ca_timeout: 20, allow_when_ca_unreachable: true }", "ocsp_cache: false")
    world.client("alice")
    server.expect("AllowWhenCAUnreachable set; no cached revocation so allowing")


@peers()
def the_system_account_hears_of_it(world):
    """Whose certificate is invalid, and who is rejected."""
    server = world.begin()
    ears = world.client("plain", "sys")
    ears.send(b"SUB $SYS.SERVER.*.OCSP.PEER.> 1\r\nPING\r\n")
    ears.expect(b"PONG")
    world.responder.status["alice"] = "revoked"
    world.refused("alice")
    found = {}
    while len(found) < 2:
        line = ears.line()
        if line.startswith(b"MSG "):
            found[line.split()[1].split(b".", 3)[3].decode()] = json.loads(ears.line())
    link, reject = found["OCSP.PEER.LINK.INVALID"], found["OCSP.PEER.CONN.REJECT"]
    assert link["type"] == "io.nats.server.advisory.v1.ocsp_peer_link_invalid", link
    assert reject["type"] == "io.nats.server.advisory.v1.ocsp_peer_reject" and reject["kind"] == "Client", reject
    assert link["reason"] == "Invalid OCSP response status: revoked" and reject["reason"] == "client not OCSP valid", found
    for certificate in (link["link"], link["peer"], reject["peer"]):
        assert certificate["subject"] == "CN=alice,O=Org" and certificate["issuer"] == "CN=root", certificate
        assert len(certificate["fingerprint"]) == 44 and len(certificate["raw"]) > 400, certificate
    assert reject["server"]["id"] and set(reject) == {"type", "id", "timestamp", "server", "kind", "peer", "reason"}, reject
    server.expect(REFUSAL)


@peers()
def answers_are_remembered(world):
    """Within the process and in a file; monitoring counts; a revocation that is over is kept if that is wanted."""
    folder = os.path.join(world.folder, "remembered")
    top = 'http: "127.0.0.1:-1"\nocsp_cache { local_store: "%s/store", preserve_revoked: true, save_interval: 1 }' % folder
    responder = world.responder
    responder.status["bob"] = "revoked"
    server = world.begin(top=top, folder=folder)

    def figures():
        line = next(line for line in server.lines if "Starting http monitor on " in line)
        with urllib.request.urlopen(f"http://{line.split(' on ')[1]}/varz") as answer:
            return json.load(answer)

    for _ in range(3):
        world.client("alice")
        world.refused("bob")
    assert responder.asked == [("GET", "alice"), ("GET", "bob")], responder.asked
    varz = figures()
    assert varz["tls_ocsp_peer_verify"] is True
    assert varz["ocsp_peer_cache"] == {"cache_type": "local", "cache_hits": 4, "cache_misses": 2, "cached_responses": 2,
                                       "cached_revoked_responses": 1, "cached_good_responses": 1}, varz["ocsp_peer_cache"]
    path = os.path.join(folder, "store", "cache.json")
    end = time.monotonic() + 20
    while not os.path.exists(path) and time.monotonic() < end:
        world.client("plain")
    server = world.begin(top=top, folder=folder)
    world.client("alice")
    world.refused("bob")
    assert len(responder.asked) == 2, responder.asked
    with open(path, encoding="utf-8") as file:
        saved = json.load(file)
    assert sorted(entry["resp_status"] for entry in saved.values()) == ["good", "revoked"], saved
    assert {entry["subject"] for entry in saved.values()} == {"CN=alice,O=Org", "CN=bob,O=Org"}, saved
    assert all(entry["resp"].startswith("/wYAAFMyc1R3T") or entry["resp"].startswith("/wYAAHNOYVBwW") for entry in saved.values()), saved
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"x": 1')
    server = world.begin(top=top, folder=folder)
    server.expect("Unable to load OCSP peer cache: ")
    world.client("alice")
    assert len(responder.asked) == 3, responder.asked


@peers()
def a_revocation_outlives_its_answer(world):
    """With preserve_revoked, where responders need not be there. What makes it too old is a reload: no time is waited for."""
    responder = world.responder
    responder.status["bob"] = "revoked"
    responder.since, responder.lasts = -1800, 900
    rules = "{ verify: true, ca_timeout: 20, allow_when_ca_unreachable: true, allowed_clockskew: %d }"
    top = "ocsp_cache { preserve_revoked: true, local_store: store }"
    server = world.begin(rules % 3600, top)
    world.refused("bob")
    responder.close()
    server.reload(world.configuration(rules % 30, top))
    world.refused("bob")
    server.expect("cached revocation exists so rejecting")
    world.client("alice")


@peers(only=("myelin",), why="nats-server waits in the handshake")
def a_slow_responder_holds_up_nobody_else(world):
    """More certificates than threads wait for it; others come and go, one of whom it has spoken before among them. What was sent
    meanwhile is not lost, and about a certificate that several show one question is asked."""
    responder, names = world.responder, world.crowd(10)
    server = world.begin("{ verify: true, ca_timeout: 30 }")
    world.client("alice")
    responder.slow = set(names)
    waiting = [world.waiting(name) for name in names + names[:3]]
    responder.expect(1 + 6)
    world.client("alice").send(b"PUB x 1\r\nx\r\n")
    world.client("plain").send(b"PUB x 1\r\nx\r\n")
    waiting[0].socket.setblocking(False)
    try:
        waiting[0].socket.recv(1)
        raise AssertionError("an answer before the responder's")
    except (BlockingIOError, socket.timeout, OSError):
        pass
    waiting[0].socket.settimeout(20)
    responder.release.set()
    for client in waiting:
        client.expect(b"PONG")
    asked = sorted(name for _, name in responder.asked)
    assert asked == sorted(["alice"] + names), asked
    server = world.begin('{ verify: true, ca_timeout: "50ms" }')
    responder.release.clear()
    responder.broken = "hang"
    world.refused("alice")
    server.expect("failed: exhausted OCSP responders: i/o timeout")


@peers(only=("myelin",), why="nats-server waits in the handshake")
def patience_with_responders_ends(world):
    """Also for those who wait behind others: the time of a login and that of each question, and no more."""
    responder, names = world.responder, world.crowd(10)
    responder.slow = set(names)
    server = world.begin('{ verify: true, ca_timeout: 2 }', "authorization { timeout: 0.1 }")
    waiting = [world.waiting(name) for name in names]
    for client in waiting:
        assert client.rest() == b""
    server.expect("TLS handshake error: no word from OCSP responders in time")
    world.client("alice")


@peers(only=("myelin",), why="nats-server judges at the next handshake too, but its lines differ")
def a_reload_turns_it_on_and_off(world):
    """For those who come from then on; sessions are not resumed where it is on."""
    world.responder.status["alice"] = "revoked"
    server = world.begin("false")
    stays = world.client("alice")
    server.reload(world.configuration("{ verify: true, ca_timeout: 20 }"))
    world.refused("alice")
    stays.send(b"PING\r\n")
    stays.expect(b"PONG")
    server.reload(world.configuration("false"))
    world.client("alice")


@peers(only=("myelin",), why="nats-server judges pins and responders in one handshake")
def a_reload_meets_those_whose_responder_is_still_asked(world):
    """Pins that came into force meanwhile hold for them too."""
    responder = world.responder
    responder.slow = {"alice", "bob"}
    server = world.begin(top="ocsp_cache: false")
    waiting = {name: world.waiting(name) for name in ("alice", "bob")}
    responder.expect(2)
    pins = f'{{ verify: true, ca_timeout: 20 }}\npinned_certs: ["{world.ca.pin("bob")}"]'
    server.reload(world.configuration(pins, "ocsp_cache: false"))
    responder.release.set()
    waiting["bob"].expect(b"PONG")
    assert b"PONG" not in waiting["alice"].rest()
    server.expect("TLS handshake error: certificate not pinned")


@peers()
def a_chain_is_as_good_as_each_of_its_certificates(world):
    """The one between is revoked by the root."""
    root, folder = world.ca, world.folder
    root.issue("middle", more="")  # a request and a key by that name, then certified as an authority
    from authority import openssl  # pylint: disable=import-outside-toplevel
    with open(os.path.join(folder, "middle.ext"), "w", encoding="ascii") as file:
        file.write(f"basicConstraints=critical,CA:TRUE\nauthorityInfoAccess=OCSP;URI:{world.responder.url}\n")
    openssl(folder, "x509", "-req", "-in", "middle.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "2",
            "-out", "middle.pem", "-extfile", "middle.ext")
    root.serials["middle"] = int(openssl(folder, "x509", "-in", "middle.pem", "-noout", "-serial").strip().split("=")[1], 16)
    middle = Authority.__new__(Authority)
    middle.folder, middle.name, middle.file, middle.serials = folder, "middle", os.path.join(folder, "middle.pem"), {}
    certificate, key = middle.issue("carol")
    with open(certificate, "a", encoding="ascii") as chain, open(middle.file, encoding="ascii") as file:
        chain.write(file.read())
    world.identities["carol"] = certificate, key
    server = world.begin(top="ocsp_cache: false")
    world.client("carol")
    assert world.responder.asked == [("GET", "middle")], world.responder.asked
    world.responder.status["middle"] = "revoked"
    world.refused("carol")
    server.expect("OCSP verify fail for [CN=middle] with CA status [revoked]")


@case(OWN, only=NEW, why="newer servers only")
def what_the_file_may_say_of_peers(run):
    """A wrong value is refused with its place."""
    base = "ca_file: {ca}\nverify: true\n"
    for value, sentence in (("{ verfiy: true }", 'error parsing tls peer config, unknown field ["verfiy"]'),
                            ("{ ca_timeout: [] }", "error parsing tls peer config, conversion error: unexpected type"),
                            ("{ warn_only: 5 }", 'error parsing tls peer config, unknown field ["warn_only"]')):
        code, text = run.says_of(OWN + base + "ocsp_peer " + value + "\n")
        assert code == 1 and sentence in text, text
    for top, sentence in (("ocsp_cache { type: tape }", "error parsing OCSP peer cache config, unknown type [tape]"),
                          ("ocsp_cache { nothing: 1 }", 'error parsing OCSP peer cache config, unknown field ["nothing"]')):
        code, text = run.says_of(OWN, top)
        assert code == 1 and sentence in text, text
    code, text = run.says_of(OWN + base + 'ocsp_peer { verify: true, ca_timeout: 1.5, allowed_clockskew: "1m" }\n',
                             "ocsp_cache { type: LOCAL, save_interval: 60 }")
    assert code == 0, text
