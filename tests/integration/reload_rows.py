"""tests/integration/reload_rows.py - what a reload may change: for each option its lines, what the log says of them, and
a probe, which tells what is in force without them, with them, and without them again.

In the flow: test_reload_options.py reloads for row after row and asks the row's probe each time.
"""
import collections
import ctypes
import glob
import json
import os
import re
import signal
import socket
import ssl
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from server import PATIENCE, Client, trust  # noqa: E402

FOLDER = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(FOLDER.name, name)


def text(lines="", account="", user="", default=""):
    """The file: more lines, or more in account L, its user `limited`, and the login of the account that all have."""
    return f"""
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: reloaded
accounts {{
  W {{ users: [ {{user: witness, password: p}} ] }}
  A {{ users: [ {{user: any, password: p}} ] }}
  L {{ users: [ {{user: limited, password: p{user}}}, {{user: peer, password: p}} ]
    {account} }}
  S {{ users: [ {{user: system, password: p}} ] }}
}}
system_account: S
authorization {{ users: [ {{user: plain, password: p}} ]
  {default} }}
{lines}
"""


def login(server, user, **more):
    client = Client(server)
    if client.info.get("tls_required"):
        client.secure(trust(AUTHORITY))
    return client.hello(user=user, **{"pass": "p"}, **more)


def settled(client):
    client.send(b"PING\r\n")
    client.expect(b"PONG")


# ---- where the log is ----

SYSLOG = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SYSLOG.bind(("127.0.0.1", 0))
LOCAL_SYSLOG = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
CLONE_NEWNS, MS_BIND, MS_PRIVATE_BELOW = 0x20000, 0x1000, 0x44000


def own_syslog():
    """Gives this process and its children a local log daemon that nobody else sees; whether the system lets it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_PRIVATE_BELOW, None) != 0:
        return False
    if os.path.exists("/dev/log"):
        LOCAL_SYSLOG.bind(path("syslog"))
        return libc.mount(path("syslog").encode(), b"/dev/log", None, MS_BIND, None) == 0
    if libc.mount(b"none", b"/var/run/", b"tmpfs", 0, None) != 0:
        return False
    LOCAL_SYSLOG.bind("/var/run/log")
    return True


class Logs:
    """Everything that a server says, wherever it does."""

    def __init__(self, server):
        self.server, self.said = server, {"syslog": b"", "remote": b""}
        for at in (SYSLOG, LOCAL_SYSLOG):
            at.setblocking(False)

    def texts(self, begin):
        """What was said since `begin`, and where that ends."""
        for name, at in (("remote", SYSLOG), ("syslog", LOCAL_SYSLOG)):
            try:
                while True:
                    self.said[name] += at.recv(65536) + b"\n"
            except OSError:  # nothing there, or no local daemon
                pass
        there = {name: said[begin.get(name, 0):].decode(errors="replace") for name, said in self.said.items()}
        ends = {name: len(said) for name, said in self.said.items()}
        if os.path.exists(path("log")):
            with open(path("log"), encoding="utf-8", errors="replace") as file:
                file.seek(begin.get("file", 0))
                there["file"], ends["file"] = file.read(), file.tell()
        with self.server.changed:
            there["stderr"] = "".join(line + "\n" for line in self.server.lines[begin.get("stderr", 0):])
            ends["stderr"] = len(self.server.lines)
        return there, ends

    def mark(self):
        self.texts({"stderr": len(self.server.lines)})
        size = os.path.getsize(path("log")) if os.path.exists(path("log")) else 0
        return {"file": size, "stderr": len(self.server.lines), **{name: len(said) for name, said in self.said.items()}}

    def find(self, pattern, begin):
        """Where a line with that is, and all that came there since then; files and sockets announce their growth to
        nobody, so they are looked at again and again: each time at what is new, and the line before it."""
        end, so_far = time.monotonic() + PATIENCE, {}
        expression = re.compile(pattern, re.MULTILINE)
        while True:
            there, begin = self.texts(begin)
            for name, new in there.items():
                looked = so_far.get(name, "").rfind("\n")
                so_far[name] = so_far.get(name, "") + new
                if (new or pattern == "") and expression.search(so_far[name], max(0, looked)):
                    return name, so_far[name]
            if time.monotonic() > end:
                raise AssertionError(f"no line {pattern} in { {name: said[-1000:] for name, said in so_far.items()} }")
            time.sleep(0.005)


class Place:
    """What a probe sees: the server, its log, and a client that was there before the last reload."""

    def __init__(self, server):
        self.server, self.logs, self.count = server, Logs(server), 0
        self.own = "Myelin" in "\n".join(server.lines)
        self.both, self.row, self.secured, self.begin = [], None, {}, self.logs.mark()
        self.staying = None  # connections, when nobody comes and goes

    @property
    def early(self):
        return self.both[0]

    def come(self, row):
        """Two who are there before the next reload, if they are let in; what they may not do is refused to them."""
        for client in self.both:
            client.close()
        self.both, self.row = [], row
        self.fill()

    def fill(self):
        """Whom the old options have kept away comes now."""
        while self.row.early and len(self.both) < 2:
            try:
                self.both.append(login(self.server, self.row.early))
            except (AssertionError, ConnectionError):
                return
            outcome(self.both[-1], self.row.prepare[len(self.both) - 1])

    def new(self, user="any"):
        return login(self.server, user)

    def expect(self, pattern):
        return self.logs.find(pattern, self.begin)

    def reload(self, configuration):
        """Returns when the log, wherever it is then, says that it is done or refused."""
        self.begin = self.logs.mark()
        self.server.write(configuration)
        self.server.process.send_signal(signal.SIGHUP)
        self.expect("Reloaded server configuration|Failed to reload")

    def stranger(self):
        """Somebody is refused, which is always logged; where, and all since `begin`."""
        self.count += 1
        name, begin = f"stranger{self.count}_{os.getpid()}", self.begin
        client = Client(self.server)
        client.login(user=name, **{"pass": "p"})
        assert b"-ERR 'Authorization Violation'" in client.rest(), client.buffer
        return self.logs.find(f"{name}.*\n", begin)

    def said(self, pattern, action):
        """Whether a line like that is logged about what is done now."""
        self.begin = self.logs.mark()
        action()
        return re.search(pattern, self.stranger()[1]) is not None

    def json(self, page):
        port = int(self.server.expect("Starting http monitor on ").rsplit(":", 1)[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=PATIENCE) as answer:
            return json.load(answer)


    def connections(self):
        """How many there are, when those that were closed are gone."""
        end = time.monotonic() + PATIENCE
        while self.json("connz")["num_connections"] != self.staying and time.monotonic() < end:
            time.sleep(0.005)
        return self.staying


def outcome(client, request):
    """What comes back for something and a PING: the first error, or None."""
    error = None
    try:
        client.send(request + b"PING\r\n")
    except ConnectionError:
        pass  # what came before the end can still be read
    try:
        while (line := client.line()) != b"PONG":
            if line.startswith(b"-ERR"):
                error = error or line[6:-1].decode()
    except (AssertionError, ConnectionError):
        error = error or "the end"
    return error


def arrival(place, **who):
    """How somebody fares who comes now."""
    client = Client(place.server)
    try:
        client.login(**who)
    except ConnectionError:
        pass
    error = outcome(client, b"")
    client.close()
    return error


# ---- probes ----

def debugs(place):
    return place.said(r"\[DBG\] .* Client connection created", lambda: place.new().close())


def traces(place):
    return place.said(r"\[TRC\] .* <<- \[PING\]\n(.*\n)*.* ->> \[PONG\]\n", lambda: settled(place.early))


def traces_the_server_itself(place):
    """The answer of a service comes from it, so it has been traced by then."""
    def ask():
        client = place.new("system")
        client.send(b"SUB in 1\r\nPUB $SYS.REQ.SERVER.PING in 0\r\n\r\n")
        while not client.line().startswith(b"MSG in "):
            pass
    return place.said(r"\[TRC\] SYSTEM - <<- \[PUB in ", ask)


def traced_payload(place):
    place.begin = place.logs.mark()
    outcome(place.early, b"PUB x 8\r\nabcdefgh\r\n")
    return re.search(r'<<- MSG_PAYLOAD: \["?([a-h.]+)', place.stranger()[1]).group(1)


def traced_headers(place):
    """What of two messages, one with headers and one without, is shown on the way in and out."""
    place.begin = place.logs.mark()
    client = login(place.server, "any", headers=True)
    assert outcome(client, b"SUB x 1\r\nHPUB x 18 23\r\nNATS/1.0\r\na: b\r\n\r\nhello\r\nPUB x 5\r\nplain\r\n") is None
    client.close()
    shown = re.findall(r"(<<-|->>) MSG_PAYLOAD: .*(a: b.*hello|a: b|plain)", place.stranger()[1])  # among the load's
    return sorted((way, re.sub(r"b.*hello", "b, hello", what)) for way, what in shown)


def stamp(place):
    """A line's date: none, that of UTC or another. The server lives in a zone of its own."""
    place.begin = place.logs.mark()
    line = re.search(r"^\[\d+\] (.*)\[ERR\] .*stranger", place.stranger()[1], re.MULTILINE).group(1)
    if line == "":
        return None
    away = time.mktime(time.strptime(line[:19], "%Y/%m/%d %H:%M:%S")) - time.mktime(time.gmtime())
    return "UTC" if abs(away) < ZONE_SECONDS / 2 else "local"


def log_at(place):
    place.begin = place.logs.mark()
    return place.stranger()[0]


def how_many_connect(place):
    """Of one more than there are."""
    return arrival(place, user="any", **{"pass": "p"})


def long_line(place):
    return outcome(place.early, b"SUB " + b"x" * 300 + b" 1\r\n")


def payload(place):
    return Client(place.server).info["max_payload"], outcome(place.early, b"PUB x 101\r\n" + b"x" * 101 + b"\r\n")


def pings(place):
    """One that has come by the time that the server says; of two minutes nobody waits for the end."""
    interval_ns = place.json("varz")["ping_interval"]
    if interval_ns < 10**9:
        client = place.new()
        while client.line() != b"PING":
            pass
    return interval_ns


def advertised(place):
    info = Client(place.server).info
    return info["host"], info["port"] == place.server.port or info["port"]


def tags(place):
    varz = place.json("varz")
    return None if varz["version"].startswith("2.9.") else varz.get("tags")  # it does not show them


def metadata(place):
    return place.json("varz").get("metadata")


def pid(_place):
    if not os.path.exists(path("pid")):
        return None
    with open(path("pid"), encoding="ascii") as file:
        number = file.read()
    os.unlink(path("pid"))
    return number


def ports(place):
    names = glob.glob(os.path.join(FOLDER.name, "*.ports"))
    if not names:
        return None
    with open(names[0], encoding="ascii") as file:
        return json.load(file)["nats"] == [f"nats://127.0.0.1:{place.server.port}"]


def mapped(place):
    client = place.early
    client.send(b"SUB b 1\r\nSUB a 2\r\nPUB a 1\r\nx\r\nPING\r\n")
    lines = [client.line() for _ in range(2)]
    client.expect(b"PONG")
    client.send(b"UNSUB 1\r\nUNSUB 2\r\n")
    return lines[0].split()[1].decode()


def account_connections(place):
    """Those who were there, in two: how each goes on; and one more."""
    ends = sorted(str(outcome(client, b"")) for client in place.both)
    return ends, arrival(place, user="limited", **{"pass": "p"})


def account_subscriptions(place):
    """Who had more than is allowed now, and one who takes as many, and one more. Who had just as many stays; nats-server
    drops him too."""
    if place.own:
        settled(place.both[1])
    few = place.new("limited")
    ends = [outcome(place.early, b""), outcome(few, TWO), outcome(few, THIRD)]
    few.close()
    return ends


def account_payload(place):
    client = place.new("limited")
    client.send(b"PUB x 11\r\n12345678901\r\nPING\r\n")
    told, line = client.info["max_payload"], client.line()
    while line.startswith(b"INFO "):
        told, line = json.loads(line[5:])["max_payload"], client.line()
    return told, line.decode(), outcome(place.early, b"PUB x 11\r\n12345678901\r\n")


def permitted(place):
    """A subscription from before, one of now, and messages that are published."""
    return [outcome(place.early, b""), outcome(place.early, b"SUB no.2 2\r\n"), outcome(place.early, b"PUB no.3 0\r\n\r\n")]


def responses(place):
    """An answer of somebody who may publish nowhere else."""
    asking = place.new("peer")
    asking.send(b"SUB answers 1\r\nPUB service answers 1\r\nq\r\n")
    settled(asking)
    while not place.early.line().startswith(b"MSG service 1 answers 1"):
        pass
    assert place.early.line() == b"q"
    error = outcome(place.early, b"PUB answers 1\r\na\r\n")
    if error is None:
        asking.expect(b"MSG answers 1 1", b"a")
    return error


def kinds(place):
    """Whether a plain connection may stay, and come."""
    early = outcome(place.early, b"")
    return early, arrival(place, user="limited", **{"pass": "p"})


def wrong_proxy(place):
    """Whether newcomers get a nonce to sign, and how one fares whose proxy is not known."""
    return "nonce" in Client(place.server).info, arrival(place, user="any", proxy_sig="x" * 86, **{"pass": "p"})


def handshake(place, context, first=False, user="any"):
    """What is agreed on, or None: one side breaks it off."""
    client = Client(place.server, first=first)
    try:
        client.secure(context)
        if first:
            client.read_info()
        client.hello(user=user, **{"pass": "p"})
        return client.socket.cipher()[0], client.socket.version()
    except (ssl.SSLError, ConnectionError, AssertionError):
        return None
    finally:
        client.close()


def wants_tls(place):
    """Whoever was here stays in clear."""
    settled(place.early)
    info = Client(place.server).info
    if info.get("tls_required"):
        assert handshake(place, trust(AUTHORITY))
        return True
    place.new().close()
    return False


def certificate(place):
    """The name in what is shown."""
    client = Client(place.server).secure(trust(AUTHORITY))
    subject = dict(part[0] for part in client.socket.getpeercert()["subject"])
    client.close()
    return subject["commonName"]


def old_version(place):
    return handshake(place, trust(AUTHORITY, maximum_version=ssl.TLSVersion.TLSv1_2)) is not None, \
        handshake(place, trust(AUTHORITY)) is not None


def suites(place):
    """Which of two that a client of TLS 1.2 may ask for."""
    def agrees(name):
        context = trust(AUTHORITY, maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(name)
        return handshake(place, context) is not None
    return [agrees("ECDHE-ECDSA-AES128-GCM-SHA256"), agrees("ECDHE-ECDSA-AES256-GCM-SHA384")]


def curves(place):
    def agrees(name):
        context = trust(AUTHORITY)
        context.set_ecdh_curve(name)
        return handshake(place, context) is not None
    return [agrees("prime256v1"), agrees("secp384r1")]


def handshakes_first(place):
    return handshake(place, trust(AUTHORITY), first=True) is not None


def strangers_shake_hands(place):
    """Without a certificate, and with one."""
    return handshake(place, trust(AUTHORITY)) is not None, handshake(place, trust(AUTHORITY, IDENTITIES["bob"])) is not None


def pinned(place):
    """Who was there with a certificate each, and who comes. nats-server judges them by the old pins, and ends who is in clear."""
    there = dict(place.secured)
    ends = {}
    for name, client in there.items():
        ends[name] = outcome(client, b"")
        client.close()
    place.secured = {}
    for name in IDENTITIES:
        if handshake(place, trust(AUTHORITY, IDENTITIES[name])):
            place.secured[name] = Client(place.server).secure(trust(AUTHORITY, IDENTITIES[name])).hello(user="any", **{"pass": "p"})
    return sorted(place.secured), sorted(name for name, end in ends.items() if end is not None)


# ---- the rows ----

PROXY = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
ZONE_SECONDS = 5 * 3600 + 1800
AUTHORITY = Authority(FOLDER.name)
CERT, KEY = AUTHORITY.issue("localhost", names="DNS:localhost,IP:127.0.0.1")
STAPLED = AUTHORITY.issue("stapled", names="DNS:localhost,IP:127.0.0.1", stapled=True)
IDENTITIES = {name: AUTHORITY.issue(name, names=f"DNS:{name}") for name in ("alice", "bob")}


def tls(more=""):
    return f'tls {{ cert_file: "{CERT}", key_file: "{KEY}"{more} }}'


def stapled(more):
    """One that is to be stapled, and a line."""
    return tls().replace(CERT, STAPLED[0]).replace(KEY, STAPLED[1]) + "\n" + more


def verified(more=""):
    return tls(f', ca_file: "{AUTHORITY.file}", verify: true{more}')


def pins(*names):
    return verified(", pinned_certs: [%s]" % ", ".join(f'"{AUTHORITY.pin(name)}"' for name in names))


def zone_file():
    """A zone that has one time all the year, in a file: tzdata is not everywhere."""
    name = path("zone")
    with open(name, "wb") as file:
        file.write(b"TZif" + bytes(16) + bytes((0, 0, 0, 0) * 4) + (1).to_bytes(4, "big") + (4).to_bytes(4, "big") +
                   ZONE_SECONDS.to_bytes(4, "big") + bytes((0, 0)) + b"ABC\0")
    return name


DENY = '{ publish: {deny: "no.>"}, subscribe: {deny: "no.>"} }'
VIOLATIONS = ['Permissions Violation for Subscription to "no.1" (sid "1")', 'Permissions Violation for Subscription to "no.2"',
              'Permissions Violation for Publish to "no.3"']
SILENT = 'permissions: { publish: {allow: "nothing"}, subscribe: ">"%s }'
FULL, MANY = "maximum account active connections exceeded", "maximum subscriptions exceeded"
TWO, THIRD = b"SUB s.1 1\r\nSUB s.2 2\r\n", b"SUB s.3 3\r\n"
NO_ONE, SERVICE = b"SUB no.1 1\r\n", b"SUB service 1\r\n"
LARGE = "Maximum Payload Violation"

# `off`, `on`: lines of the file, or what text() takes; `says`: on the way there and back; `without`, `within`: what the
# probe sees; `early`: as whom two come before each reload, and what they send (`prepare`);
# `needs`: a newer server than 2.9, Myelin, or a log
# daemon of one's own.
Row = collections.namedtuple("Row", "name off on says probe without within early needs prepare", defaults=(None, None, (b"", b"")))
NEWER, OWN, DAEMON = "newer", "own", "daemon"
ROWS = [
    Row("debug", "", "debug: true", ("debug = true", "debug = false"), debugs, False, True),
    Row("trace", "", "trace: true", ("trace = true", "trace = false"), traces, False, True, "any"),
    Row("trace_verbose", "trace: true", "trace_verbose: true", ("trace_verbose = true", "trace_verbose = false"),
        traces_the_server_itself, False, True),
    Row("max_traced_msg_len", "trace: true", "trace: true, max_traced_msg_len: 5", ("max_traced_msg_len = 5", "max_traced_msg_len = 0"),
        traced_payload, "abcdefgh", "abcde...", "any"),
    Row("trace_headers", "trace: true", "trace_headers: true", ("trace_headers = true", "trace_headers = false"), traced_headers,
        [("->>", "a: b, hello"), ("->>", "plain"), ("<<-", "a: b, hello"), ("<<-", "plain")], [("->>", "a: b"), ("<<-", "a: b")], needs=NEWER),
    Row("logtime", "", "logtime: false", ("logtime = false", "logtime = true"), stamp, "local", None),
    Row("logtime_utc", "", "logtime_utc: true", ("logtime_utc = true", "logtime_utc = false"), stamp, "local", "UTC", needs=NEWER),
    Row("log_file", "", f'log_file: "{path("log")}"', ("log_file = .*/log$", "log_file = ?$"), log_at, "stderr", "file"),
    Row("remote_syslog", "", f'remote_syslog: "udp://127.0.0.1:{SYSLOG.getsockname()[1]}"', ("remote_syslog = udp:.*", "remote_syslog = ?$"),
        log_at, "stderr", "remote"),
    Row("syslog", "", "syslog: true", ("syslog = true", "syslog = false"), log_at, "stderr", "syslog", needs=DAEMON),
    Row("max_connections", "", "max_connections: COUNT", (r"max_connections = \d+", "max_connections = 65536"), how_many_connect,
        None, "maximum connections exceeded"),
    Row("max_control_line", "", "max_control_line: 256", ("max_control_line = 256", "max_control_line = 4096"), long_line,
        None, "maximum control line exceeded", "any"),
    Row("max_payload", "", "max_payload: 100", ("max_payload = 100", "max_payload = 1048576"), payload, (1048576, None), (100, LARGE), "any"),
    Row("ping_interval", "", 'ping_interval: "300ms"', ("ping_interval = 300ms", "ping_interval = 2m0s"), pings, 120 * 10**9, 3 * 10**8),
    Row("client_advertise", "", 'client_advertise: "1.2.3.4:5"', ("Reload: client_advertise = 1.2.3.4:5", "Reload: client_advertise = ?$"),
        advertised, ("127.0.0.1", True), ("1.2.3.4", 5)),
    Row("server_tags", "", "server_tags: [one, two]", ("tags$", "tags$"), tags, None, ["one", "two"], needs=NEWER),
    Row("server_metadata", "", 'server_metadata { region: eu, rack: "7" }', ("metadata$", "metadata$"), metadata, None,
        {"rack": "7", "region": "eu"}, needs=NEWER),
    Row("pid_file", "", f'pid_file: "{path("pid")}"', ("pid_file = .*/pid", "accounts"), pid, None, "PID"),
    Row("ports_file_dir", "", f'ports_file_dir: "{FOLDER.name}"', ("ports_file_dir = .*", "ports_file_dir =$"), ports, None, True),
    Row("mappings", "", 'mappings: { "a": "b" }', ("accounts", "accounts"), mapped, "a", "b", "plain", OWN),
    Row("mappings of an account", "", {"account": 'mappings: { "a": "b" }'}, ("accounts", "accounts"), mapped, "a", "b", "peer", NEWER),
    Row("limits: max_connections", "", {"account": "limits { max_connections: 1 }"},
        ("accounts", "accounts"), account_connections, (["None", "None"], None), (sorted([FULL, "None"]), FULL), "limited", NEWER),
    Row("limits: max_subscriptions", "", {"account": "limits { max_subscriptions: 2 }"}, ("accounts", "accounts"), account_subscriptions,
        [None, None, None], [MANY, None, MANY], "limited", prepare=(TWO + THIRD, TWO)),
    Row("limits: max_payload", "", {"account": "limits { max_payload: 10 }"}, ("accounts", "accounts"), account_payload,
        (1048576, "PONG", None), (10, f"-ERR '{LARGE}'", LARGE), "limited"),
    Row("default_permissions", "", {"default": f"default_permissions: {DENY}"}, ("authorization users", "accounts"), permitted,
        [None] * 3, VIOLATIONS, "plain", prepare=(NO_ONE, NO_ONE)),
    Row("default_permissions of an account", "", {"account": f"default_permissions: {DENY}"}, ("authorization users", "accounts"), permitted,
        [None] * 3, VIOLATIONS, "limited", prepare=(NO_ONE, NO_ONE)),
    Row("allow_responses", {"user": ", " + SILENT % ""}, {"user": ", " + SILENT % ", allow_responses: true"}, ("authorization users", "accounts"),
        responses, 'Permissions Violation for Publish to "answers"', None, "limited", prepare=(SERVICE, b"")),
    Row("allowed_connection_types", {"user": ", allowed_connection_types: [STANDARD]"}, {"user": ", allowed_connection_types: [WEBSOCKET]"},
        ("authorization users", "accounts"), kinds, (None, None), ("Authorization Violation", "Authorization Violation"), "limited"),
    Row("proxy_required", "", {"user": ", proxy_required: true"}, ("authorization users", "accounts"), kinds,
        (None, None), ("Authorization Violation", "Authorization Violation"), "limited", NEWER),
    # Only Myelin survives a reload with the first block of them.
    Row("proxies", "", f"proxies {{ trusted: [ {{key: {PROXY}}} ] }}", (rf'proxies trusted keys \["{PROXY}"\] were added', f"{PROXY}.* were removed"),
        wrong_proxy, (False, None), (True, "Authorization Violation"), needs=OWN),
    Row("tls", "", tls(), ("tls = enabled", "tls = disabled"), wants_tls, False, True, "any"),
    Row("tls min_version", tls(), tls(', min_version: "1.3"'), ("tls = enabled", "tls = enabled"), old_version, (True, True), (False, True),
        needs=NEWER),
    Row("tls cipher_suites", tls(), tls(", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"), ("tls = enabled", "tls = enabled"),
        suites, [True, True], [True, False]),
    Row("tls curve_preferences", tls(), tls(", curve_preferences: [CurveP384]"), ("tls = enabled", "tls = enabled"),
        curves, [True, True], [False, True]),
    Row("tls handshake_first", tls(), tls(", handshake_first: true"), ("Client TLS handshake first: true", "Client TLS handshake first: false"),
        handshakes_first, False, True, needs=NEWER),
    Row("ocsp", tls(), stapled("ocsp: false"), ("OCSP", "OCSP"), certificate, "localhost", "stapled"),
    Row("tls verify", tls(), verified(), ("tls = enabled", "tls = enabled"), strangers_shake_hands, (True, True), (False, True)),
    Row("tls pinned_certs", pins("alice", "bob"), pins("bob"), ("1 pinned_certs", "2 pinned_certs"), pinned,
        (["alice", "bob"], []), (["bob"], ["alice"]), needs=OWN),
]
