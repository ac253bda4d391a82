"""tests/tls/rows_staples.py - OCSP stapling of the server's own certificate: which certificates, what does for a start, the
file that remembers, what comes of a revocation, reload."""
import hashlib
import json
import os
import ssl
import subprocess
import time
import urllib.request

from authority import Authority
from cases import case_in, s_client
from responder import Responder
from server import PATIENCE, Server

GOOD = "Cert Status: good"
NONE = "OCSP response: no response sent"


class World:
    """An authority with a responder, one certificate that demands a staple ("must") and one that does not ("may")."""

    def __init__(self, run):
        self.run, self.folder = run, os.path.join(run.server.folder, "world")
        os.mkdir(self.folder)
        self.ca = Authority(self.folder, "root")
        self.responder = Responder(self.ca)
        names = "DNS:localhost,IP:127.0.0.1"
        self.ca.issue("must", names=names, stapled=True, responder=self.responder.url)
        self.ca.issue("may", names=names, responder=self.responder.url)
        self.count = 0

    def configuration(self, name, top=""):
        return (f'{top}\ntls {{ cert_file: "{self.folder}/{name}.pem", key_file: "{self.folder}/{name}.key", '
                f'ca_file: "{self.ca.file}", timeout: 20 }}\n')

    def begin(self, name, top=""):
        self.count += 1
        folder = os.path.join(self.folder, str(self.count))
        os.mkdir(folder)
        self.run.server.stop()
        self.run.server = Server(self.run.program, folder, self.configuration(name, top))
        return self.run.server

    def refused(self, name, top=""):
        """What it says when it does not start."""
        path = os.path.join(self.folder, "refused.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.configuration(name, top))
        done = subprocess.run([self.run.program, "-a", "127.0.0.1", "-p", "-1", "-c", path], capture_output=True, text=True,
                              timeout=PATIENCE * 2, check=False, cwd=self.folder)
        assert done.returncode == 1, done
        return done.stdout + done.stderr

    def status(self, *arguments):
        return s_client(self.run, "-status", "-CAfile", self.ca.file, *arguments)


def staples(only=None, why=""):
    return case_in(World, only, why)


@staples()
def always_staples_what_does_not_demand_it(world):
    """Both versions, and the log says so; who does not ask gets none."""
    world.responder.by_openssl = True
    server = world.begin("may", "ocsp { mode: always }")
    server.expect("OCSP Stapling enabled for Client connections")
    assert "certificate at '" in server.expect("Found OCSP status for Client certificate at ")
    for version in ("-tls1_2", "-tls1_3"):
        text = world.status(version)
        assert GOOD in text and "OCSP Response Status: successful" in text, text
    context = ssl.create_default_context(cafile=world.ca.file)
    world.run.secure(context).hello()


@staples()
def certificates_decide_by_default(world):
    """Without a word, with `ocsp: true` and with `mode: must`: who demands it is stapled."""
    for top in ("", "ocsp: true", "ocsp { mode: must }"):
        world.begin("must", top)
        assert GOOD in world.status(), top
        asked = len(world.responder.asked)
        assert asked > 0
        world.begin("may", top)
        assert NONE in world.status(), top
        assert len(world.responder.asked) == asked
    world.begin("must", "ocsp: false")
    assert NONE in world.status()


@staples()
def no_start_without_a_status(world):
    """Nobody there, an error, bytes that are no answer, of another signer, of the past, of the future, no responder named."""
    bad = "bad OCSP status update for certificate at '"
    for broken in (b"", b"not DER", bytes.fromhex("30030a0106")):
        world.responder.broken = broken
        assert bad in world.refused("must"), broken
    world.responder.broken = None
    stranger = Authority(world.folder, "stranger")
    world.responder.signer = world.responder.with_certificate = stranger.name
    assert bad in world.refused("may", "ocsp { mode: always }")
    world.responder.signer, world.responder.with_certificate = world.ca.name, None
    world.responder.since, world.responder.lasts = -7200, 3600
    assert "invalid ocsp NextUpdate, is past time: 20" in world.refused("must")
    world.responder.since = 7200
    assert "invalid ocsp ThisUpdate, is future time: 20" in world.refused("must")
    world.ca.issue("silent", names="IP:127.0.0.1", stapled=True)
    assert "no available ocsp servers" in world.refused("silent")
    world.responder.close()
    assert "exhausted ocsp servers" in world.refused("must")


@staples(only=("myelin", "2.14"), why="2.9 takes the word of anybody whom the authority has certified")
def a_signer_is_certified_for_it(world):
    """A certificate by the same authority is not enough."""
    world.responder.signer, world.responder.with_certificate = "may", "may"
    text = world.refused("must", "ocsp { mode: must }")
    assert "OCSP response signer missing authorization by CA to act as OCSP signer" in text, text


@staples()
def who_is_revoked_does_not_start(world):
    """With always and must; by default it staples the bad news, and peers decide."""
    for status in ("revoked", "unknown"):
        world.responder.status = {"must": status, "may": status}
        for name, mode in (("may", "always"), ("must", "must")):
            text = world.refused(name, "ocsp { mode: %s }" % mode)
            assert f"found existing OCSP status for certificate at '{world.folder}/{name}.pem': {status}" in text, text
        server = world.begin("must")
        server.expect("Received OCSP status for Client certificate '")
        text = world.status()
        assert f"Cert Status: {status}" in text, text


@staples()
def the_answer_is_remembered(world):
    """In a file by the certificate's digest, which serves a start without a responder; a spoiled one does not."""
    store = os.path.join(world.folder, "store")
    top = f'store_dir: "{store}"'
    world.begin("must", top)
    with open(os.path.join(world.folder, "must.pem"), encoding="ascii") as file:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()
    path = os.path.join(store, "ocsp", digest)
    assert os.path.getsize(path) > 100
    asked = len(world.responder.asked)
    world.begin("must", top)
    assert GOOD in world.status()
    assert len(world.responder.asked) == asked
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    world.begin("must", top)
    assert GOOD in world.status()
    assert len(world.responder.asked) == asked + 1
    with open(os.path.join(world.folder, "file"), "w", encoding="ascii"):
        pass
    os.mkdir(os.path.join(world.folder, "taken"))
    with open(os.path.join(world.folder, "taken", "ocsp"), "w", encoding="ascii"):
        pass
    assert "OCSP storage directory is not a directory" in world.refused("must", f'store_dir: "{world.folder}/taken"')


@staples()
def another_responder_may_be_named(world):
    """`url` wins over the certificate; a signer may be certified for it."""
    world.ca.issue("signer", more="extendedKeyUsage=OCSPSigning\n")
    world.ca.issue("elsewhere", names="IP:127.0.0.1", stapled=True, responder="http://127.0.0.1:1")
    world.responder.signer = world.responder.with_certificate = "signer"
    world.begin("elsewhere", f'ocsp {{ mode: must, url: "{world.responder.url}" }}')
    assert GOOD in world.status()


@staples(only=("myelin", "2.14"), why="2.9 asks by GET first")
def who_takes_no_post_is_asked_by_get(world):
    """In that order."""
    world.responder.refuses_post = True
    world.begin("must")
    assert GOOD in world.status()
    assert world.responder.asked[:2] == [("POST", "must"), ("GET", "must")], world.responder.asked


@staples(only=("myelin",), why="no nats-server takes a list")
def several_responders_may_be_named(world):
    """They are asked in order until one knows."""
    world.begin("must", f'ocsp {{ mode: must, urls: ["http://127.0.0.1:1", "{world.responder.url}/"] }}')
    assert GOOD in world.status()


@staples()
def staples_are_kept_fresh(world):
    """After half of the time that they hold; the new one is what the next client sees."""
    world.responder.lasts = 11
    server = world.begin("must", "ocsp { mode: must }")
    before = world.status()
    server.expect_count("Received OCSP status for Client certificate '", 1)
    assert GOOD in before and GOOD in world.status()
    assert before.split("This Update: ")[1][:24] != world.status().split("This Update: ")[1][:24]


@staples()
def a_revocation_ends_the_server(world):
    """With must and always, when it is heard of."""
    world.responder.lasts = 9
    server = world.begin("may", "ocsp { mode: always }")
    world.responder.status["may"] = "revoked"
    server.expect("Received OCSP status for Client certificate '%s/may.pem': revoked" % world.folder)
    server.ended = True
    assert server.process.wait(PATIENCE) in (0, 1)


@staples()
def a_reload_staples_new_certificates(world):
    """Another certificate with its own staple, the option, and back."""
    server = world.begin("may", "ocsp { mode: always }")
    world.ca.issue("next", names="IP:127.0.0.1", responder=world.responder.url)
    server.reload(world.configuration("next", "ocsp { mode: always }"))
    server.expect_count("OCSP Stapling enabled for Client connections", 2)
    assert GOOD in world.status() and "subject=CN = next" in world.status()
    server.reload(world.configuration("may", "ocsp: false"))
    server.expect("Reloaded: OCSP")
    assert NONE in world.status()


@staples(only=("myelin",), why="nats-server serves the certificate without a staple until the next reload")
def a_reload_that_finds_no_responder_warns(world):
    """The new certificate is in force all the same, and it is asked for again."""
    server = world.begin("may", "ocsp { mode: always }")
    world.ca.issue("next", names="IP:127.0.0.1", responder="http://127.0.0.1:1")
    server.reload(world.configuration("next", "ocsp { mode: always }"))
    server.expect("Can't restart OCSP features: bad OCSP status update for certificate at ")
    assert NONE in world.status() and "subject=CN = next" in world.status()


@staples(only=("myelin",), why="nats-server waits for the responder in the reload itself")
def a_slow_responder_holds_up_nobody(world):
    """A reload that waits for one: clients are served meanwhile, and the end does not wait for it."""
    server = world.begin("may", "ocsp { mode: always }")
    world.ca.issue("next", names="IP:127.0.0.1", responder=world.responder.url)
    world.responder.broken = "hang"
    server.write(world.configuration("next", "ocsp { mode: always }"))
    asked = len(world.responder.asked)
    server.process.send_signal(1)
    world.responder.expect(asked + 1)
    context = ssl.create_default_context(cafile=world.ca.file)
    world.run.secure(context).hello()
    assert GOOD in world.status() and "subject=CN = may" in world.status()


class Servers:
    """Servers of one cluster, each with a certificate of the world's."""

    def __init__(self, world):
        self.world, self.all = world, []

    def begin(self, mode, certificate="may", dials=None):
        world, folder = self.world, os.path.join(self.world.folder, f"server-{len(self.all)}")
        os.mkdir(folder)
        routes = f'routes: ["nats-route://127.0.0.1:{self.port(dials)}"]' if dials else ""
        server = Server(world.run.program, folder, f'''ocsp {{ mode: {mode} }}
http: "127.0.0.1:-1"
cluster {{ name: C, listen: "127.0.0.1:-1", {routes}
tls {{ cert_file: "{world.folder}/{certificate}.pem", key_file: "{world.folder}/{certificate}.key", ca_file: "{world.ca.file}"
timeout: 20 }} }}
''')
        self.all.append(server)
        return server

    @staticmethod
    def port(server):
        return server.expect("Listening for route connections on ").rsplit(":", 1)[1]

    @staticmethod
    def routes(server):
        address = server.expect("Starting http monitor on ").split(" on ")[1]
        with urllib.request.urlopen(f"http://{address}/varz") as answer:
            return json.load(answer)["routes"]

    def connected(self, server):
        end = time.monotonic() + PATIENCE
        while self.routes(server) == 0:
            assert time.monotonic() < end, server.lines

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for server in self.all:
            server.stop()


@staples()
def servers_that_are_dialled_must_staple(world):
    """Who staples to other servers wants the same of them: a route comes about, or fails in the handshake."""
    with Servers(world) as servers:
        stapling, silent = servers.begin("always"), servers.begin("never")
        stapling.expect("OCSP Stapling enabled for Router connections")
        servers.connected(servers.begin("always", dials=stapling))
        refused = servers.begin("always", dials=silent)
        refused.expect("TLS route handshake error: Router peer missing OCSP Staple", "Router client missing OCSP Staple")
        assert servers.routes(refused) == 0


@staples(only=("myelin",), why="nats-server wants a staple of who dials, too")
def responders_are_asked_about_servers_that_dial(world):
    """By who staples: about the certificate that they show. Who is revoked, or cannot be asked about, gets no route."""
    world.ca.issue("other", names="DNS:localhost,IP:127.0.0.1", responder=world.responder.url)
    world.ca.issue("mute", names="DNS:localhost,IP:127.0.0.1")
    world.responder.status["other"] = "revoked"
    with Servers(world) as servers:
        asks = servers.begin("always")
        servers.begin("never", "other", dials=asks)
        asks.expect("OCSP verify fail for [CN=other] with CA status [revoked]")
        asks.expect_count("TLS route handshake error: Router peer not OCSP valid", 2)
        assert servers.routes(asks) == 0
        world.responder.status.clear()
        servers.connected(asks)
        servers.begin("never", "mute", dials=asks)
        asks.expect("Attempt to obtain OCSP response from CA responder for [CN=mute] failed: no available OCSP servers",
                    "[CN=mute] failed: exhausted OCSP responders: no available OCSP servers")
