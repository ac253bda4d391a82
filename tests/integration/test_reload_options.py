#!/usr/bin/env python3
"""tests/integration/test_reload_options.py SERVER - every option that a reload may change, and every one that it may not.

Method: one server under load; for each row the file gets its lines and loses them again. Each time the log has to say
so in nats-server's words, the new value has to be in force for those whom it concerns, and the load, which it does not
concern, has missed nothing and lost no connection. Then come the rows that a reload refuses, with the reason, as a
whole: nothing changes. With nats-server as SERVER (make reload-nats) the rows prove themselves; those that its release
does not know are left out.
"""
import glob
import json
import os
import re
import signal
import socket
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402
from server import PATIENCE, Client, Server, trust  # noqa: E402
from test_reload import Load, login, settled  # noqa: E402

BASE = """
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
server_name: reloaded
accounts { W { users: [ {user: witness, password: p} ] }, A { users: [ {user: any, password: p} ] } }
"""
FOLDER = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(FOLDER.name, name)


class Place:
    """What a row's check sees: the server, a client from before the reload, the lines since then."""

    def __init__(self, server, old):
        self.server, self.old = server, old
        self.begin = len(server.lines)

    def new(self):
        return login(self.server, "any")

    def expect(self, pattern):
        """A line of the log since the row began."""
        def find():
            return next((line for line in self.server.lines[self.begin:] if re.search(pattern, line)), None)
        with self.server.changed:
            self.server.changed.wait_for(find, PATIENCE)
            assert find(), f"no line {pattern} in:\n" + "\n".join(self.server.lines[self.begin:])

    def ends_with(self, client, error):
        assert re.sub(rb"INFO .*\r\n|PING\r\n|PONG\r\n", b"", client.rest()) == b"-ERR '%s'\r\n" % error, client.buffer

    def varz(self):
        port = int(self.server.expect("Starting http monitor on ").rsplit(":", 1)[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz") as answer:
            return json.load(answer)


# ---- what is in force behind the reload ----

def debugs(place):
    place.new().close()
    place.expect(r"\[DBG\] .* Client connection created")


def traces(place):
    settled(place.old)
    place.expect(r"\[TRC\] .* <<- \[PING\]")


def traces_five(place):
    place.old.send(b"PUB x 8\r\n12345678\r\n")
    place.expect(r"\[TRC\] .* <<- MSG_PAYLOAD: \[\"?12345\.\.\.")


def without_time(place):
    place.expect(r"^\[\d+\] \[INF\] Reloaded server configuration")


def in_utc(place):
    place.expect(r"Reloaded server configuration")


def in_file(place):
    with open(path("log"), encoding="utf-8") as file:
        said = file.read()
    assert "[INF] Reloaded server configuration" in said, said
    assert "Reloaded: log_file" not in said, "this was said where the log was before"


SYSLOG = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SYSLOG.bind(("127.0.0.1", 0))
SYSLOG.settimeout(PATIENCE)


def in_syslog(_place):
    while b"Reloaded server configuration" not in SYSLOG.recv(65536):
        pass


def refuses_the_next(place):
    client = Client(place.server)
    place.ends_with(client, b"maximum connections exceeded")


def short_lines(place):
    place.old.send(b"SUB " + b"x" * 300 + b" 1\r\n")
    place.ends_with(place.old, b"maximum control line exceeded")


def small_payloads(place):
    assert Client(place.server).info["max_payload"] == 100
    place.old.send(b"PUB x 101\r\n")
    place.ends_with(place.old, b"Maximum Payload Violation")


def pings_soon(place):
    client = place.new()
    while client.line() != b"PING":
        pass
    client.close()


def advertised(place):
    info = Client(place.server).info
    assert (info["host"], info["port"]) == ("1.2.3.4", 5), info


def tagged(place):
    varz = place.varz()
    assert varz.get("tags") == ["one", "two"] or varz["version"].startswith("2.9.")  # which does not show them


def has_pid(place):
    with open(path("pid"), encoding="ascii") as file:
        assert file.read() == str(place.server.process.pid)


def has_ports(place):
    (name,) = glob.glob(os.path.join(FOLDER.name, "*.ports"))
    with open(name, encoding="ascii") as file:
        assert json.load(file)["nats"] == [f"nats://127.0.0.1:{place.server.port}"]


def has_ports_no_longer(_place):
    assert not glob.glob(os.path.join(FOLDER.name, "*.ports"))


def deadline(place):
    assert place.varz()["write_deadline"] == 5 * 10**9


def wants_tls(place):
    client = Client(place.server).secure(trust(AUTHORITY))
    client.hello(user="any", **{"pass": "p"}).close()
    settled(place.old)  # whoever was here stays in clear


def is_clear(place):
    place.new().close()


def long_login(place):
    assert place.varz()["auth_timeout"] == 5


def mapped(place):
    client = place.new()
    client.close()


AUTHORITY = Authority(FOLDER.name)
CERT, KEY = AUTHORITY.issue("localhost", names="DNS:localhost,IP:127.0.0.1")
TLS = 'tls { cert_file: "%s", key_file: "%s"%s }'

# option, lines for the file, what the log says, what it says when they are gone, what is in force, and then
NEWER = "newer"
ROWS = [
    ("debug", "debug: true", "debug = true", "debug = false", debugs, None),
    ("trace", "trace: true", "trace = true", "trace = false", traces, None),
    ("trace_verbose", "trace_verbose: true", "trace_verbose = true", "trace_verbose = false", traces, None),
    ("logtime", "logtime: false", "logtime = false", "logtime = true", without_time, None),
    ("logtime_utc", "logtime_utc: true", "logtime_utc = true", "logtime_utc = false", in_utc, None, NEWER),
    ("log_file", f'log_file: "{path("log")}"', "log_file = .*/log$", "log_file =$", in_file, None),
    ("remote_syslog", f'remote_syslog: "udp://127.0.0.1:{SYSLOG.getsockname()[1]}"', "remote_syslog = udp:.*", "remote_syslog =$",
     in_syslog, None),
    ("max_connections", "max_connections: COUNT", r"max_connections = \d+", "max_connections = 65536", refuses_the_next, is_clear),
    ("max_control_line", "max_control_line: 256", "max_control_line = 256", "max_control_line = 4096", short_lines, None),
    ("max_payload", "max_payload: 100", "max_payload = 100", "max_payload = 1048576", small_payloads, None),
    ("max_traced_msg_len", "max_traced_msg_len: 5, trace: true", "max_traced_msg_len = 5", "max_traced_msg_len = 0", traces_five, None),
    ("ping_interval", 'ping_interval: "300ms"', "ping_interval = 300ms", "ping_interval = 2m0s", pings_soon, None),
    ("ping_max", "ping_max: 5", "ping_max = 5", "ping_max = 2", None, None),
    ("write_deadline", 'write_deadline: "5s"', "write_deadline = 5s", "write_deadline = 10s", deadline, None),
    ("client_advertise", 'client_advertise: "1.2.3.4:5"', "Reload: client_advertise = 1.2.3.4:5", "Reload: client_advertise =$",
     advertised, None),
    ("server_tags", "server_tags: [one, two]", "tags$", "tags$", tagged, None),
    ("pid_file", f'pid_file: "{path("pid")}"', "pid_file = .*/pid", "accounts", has_pid, None),
    ("ports_file_dir", f'ports_file_dir: "{FOLDER.name}"', "ports_file_dir = .*", "ports_file_dir =$", has_ports, has_ports_no_longer),
    ("no_fast_producer_stall", "no_fast_producer_stall: true", "fast producers will not be stalled", "fast producers will be stalled", None,
     None, NEWER),
    ("connect_error_reports", "connect_error_reports: 7", "connect_error_reports = 7", "connect_error_reports = 3600", None, None),
    ("reconnect_error_reports", "reconnect_error_reports: 7", "reconnect_error_reports = 7", "reconnect_error_reports = 1", None, None),
    ("authorization timeout", "authorization { timeout: 5 }", "authorization timeout = 5", "authorization timeout = 2", long_login, None),
    ("mappings", 'mappings: { "a": "b" }', "accounts", "accounts", mapped, None),
    ("tls", TLS % (CERT, KEY, ""), "tls = enabled", "tls = disabled", wants_tls, is_clear),
    ("tls timeout", TLS % (CERT, KEY, ", timeout: 7"), "tls = enabled", "tls = disabled", wants_tls, is_clear),
]

# option, lines for the file before, lines after, the reason
OWN = "own"
REFUSED = [
    ("host", "", 'listen: "127.0.0.2:-1"', "Host: old=127.0.0.1, new=127.0.0.2"),
    ("port", "", 'listen: "127.0.0.1:23999"', r"Port: old=-?\d+, new=23999"),
    ("server_name", "", "server_name: another", "ServerName: old=reloaded, new=another"),
    ("http", "", 'http: "127.0.0.2:-1"', "HTTPHost: old=127.0.0.1, new=127.0.0.2"),
    ("http_port", "", 'http: "127.0.0.1:23999"', r"HTTPPort: old=-?\d+, new=23999"),
    ("http_base_path", "", "http_base_path: x", "HTTPBasePath: old=/?, new=/?x"),
    ("max_pending", "", "max_pending: 2000000", "MaxPending: old=67108864, new=2000000"),
    ("max_subscriptions", "", "max_subscriptions: 5", "MaxSubs: old=0, new=5"),
    ("max_sub_tokens", "", "max_sub_tokens: 5", "MaxSubTokens: old=0, new=5"),
    ("max_closed_clients", "", "max_closed_clients: 5", "MaxClosedClients: old=10000, new=5", NEWER),
    ("write_timeout", "", "write_timeout: retry", "WriteTimeout: old=.*, new=retry", NEWER),
    ("lame_duck_duration", "", 'lame_duck_duration: "60s"', "LameDuckDuration: old=2m0s, new=1m0s"),
    ("lame_duck_grace_period", "", 'lame_duck_grace_period: "5s"', "LameDuckGracePeriod: old=10s, new=5s"),
    ("no_header_support", "", "no_header_support: true", "NoHeaderSupport: old=false, new=true"),
    ("log_size_limit", "", "log_size_limit: 100000", "LogSizeLimit: old=0, new=100000"),
    ("log_max_num", "", "log_max_num: 3", "LogMaxFiles: old=0, new=3", NEWER),
    ("allow_non_tls", TLS % (CERT, KEY, ""), TLS % (CERT, KEY, "") + "\nallow_non_tls: true", "AllowNonTLS: old=false, new=true"),
    ("system_account", "", "system_account: A", r"SystemAccount: old=(\$SYS)?, new=A"),
    ("no_auth_user", "", "no_auth_user: any", "NoAuthUser: old=, new=any"),
    ("no_system_account", "", "no_system_account: true", "NoSystemAccount: old=false, new=true"),
    ("verify_and_map", TLS % (CERT, KEY, f', ca_file: "{AUTHORITY.file}", verify: true'),
     TLS % (CERT, KEY, f', ca_file: "{AUTHORITY.file}", verify_and_map: true'), "TLSMap: old=false, new=true"),
    ("connection_rate_limit", TLS % (CERT, KEY, ""), TLS % (CERT, KEY, ", connection_rate_limit: 5"), "TLSRateLimit: old=0, new=5"),
    ("cluster", "", 'cluster { listen: "127.0.0.1:23999" }', "cluster host: old=, new=127.0.0.1"),
    ("gateway", "", 'gateway { name: G, listen: "127.0.0.1:23999" }', "Gateway"),
    ("client_advertise", "", 'client_advertise: "a:b:c"', "invalid ClientAdvertise value of a:b:c, err="),
    ("shards", "", "shards: 1", "shards: old=0, new=1", OWN),
    ("busy_poll", "", "busy_poll: 1ms", "busy_poll: old=.*, new=1ms", OWN),
    ("mailbox_bytes", "", "mailbox_bytes: 65536", "mailbox_bytes: old=1048576, new=65536", OWN),
    ("receive_buffers", "", "receive_buffers: 64", "receive_buffers: old=256, new=64", OWN),
    ("receive_buffer_bytes", "", "receive_buffer_bytes: 65536", "receive_buffer_bytes: old=32768, new=65536", OWN),
    ("pin", "", "pin: false", "pin: old=true, new=false", OWN),
    ("match_cache_entries", "", "match_cache_entries: 64", "match_cache_entries: old=8192, new=64", OWN),
    ("two of which one may change", "", "debug: true\nmax_subscriptions: 5", "MaxSubs: old=0, new=5"),
]


# One login for all instead of accounts: lines before, lines after, what the log says.
LOGINS = [
    ("authorization { user: u, password: p }", "authorization { user: v, password: p }", "authorization username"),
    ("authorization { user: u, password: p }", "authorization { user: u, password: q }", "authorization password"),
    ("authorization { token: t }", "authorization { token: s }", "authorization token"),
    ("authorization { users: [ {user: u, password: p} ] }", "authorization { users: [ {user: v, password: p} ] }", "authorization users"),
    ("authorization { users: [ {nkey: %s} ] }" % "UDUPMBRBKNBMIRYCJEHYELNFX66P2KCSANYFGGIFTCVDPOMRHFJDHRX2",
     "authorization { users: [] }", "authorization nkey users"),
]


class Suite:
    def __init__(self, program):
        self.program, self.own = program, "myelin" in os.path.basename(program)
        self.passed = self.failed = self.left_out = 0

    def wanted(self, row, length):
        known = len(row) == length or self.own
        self.left_out += not known
        return known

    def note(self, what, problem):
        self.passed += problem is None
        self.failed += problem is not None
        if problem is not None:
            print(f"FAILED {what}: {problem}")

    def attempt(self, what, work, *arguments):
        try:
            work(*arguments)
            self.note(what, None)
        except (AssertionError, OSError, ValueError, KeyError) as error:
            self.note(what, str(error)[:3000])

    @staticmethod
    def reload(server, text, done):
        """Sends the signal, and waits until the log says that it is done, wherever it goes by then."""
        server.write(text)
        server.process.send_signal(signal.SIGHUP)
        done()

    def row(self, server, name, lines, on, off, effect, after):
        old = login(server, "any")
        def whole(words):
            return (words if words.startswith("Reload: ") else "Reloaded: " + words)
        elsewhere = name in ("log_file", "remote_syslog")
        place = Place(server, old)
        lines = lines.replace("COUNT", str(place.varz()["connections"]))
        finished = (lambda: place.expect(whole(on))) if elsewhere else (lambda: place.expect("Reloaded server configuration"))
        self.reload(server, BASE + lines + "\n", finished)
        if name == "log_file":
            wait_for_text(path("log"), "Reloaded server configuration")
        place.expect(whole(on))
        if effect is not None:
            effect(place)
        begin = place.begin
        place.begin = len(server.lines)
        self.reload(server, BASE, lambda: place.expect("Reloaded server configuration"))
        if not elsewhere:
            place.expect(whole(off))
        if after is not None:
            after(place)
        place.begin = begin
        if effect not in (short_lines, small_payloads):
            settled(old)
        old.close()

    def changed(self, folder):
        server = Server(self.program, folder, BASE, ["--shards", "3"] if self.own else [])
        load = Load(server)
        assert load.begun.wait(PATIENCE)  # nats-server knows no users for a moment while it reloads
        for row in ROWS:
            if self.wanted(row, 6):
                self.attempt(row[0], self.row, server, *row[:6])
        self.attempt("the load", load.finish)
        self.note("the end", server.stop())

    def login(self, folder, before, after, words):
        base = BASE[:BASE.index("accounts")]
        server = Server(self.program, folder, base + before + "\n", [])
        try:
            place = Place(server, None)
            self.reload(server, base + after + "\n", lambda: place.expect("Reloaded server|Failed to reload"))
            place.expect("Reloaded: " + words + "$")
        finally:
            problem = server.stop()
        assert problem is None, problem

    def logins(self, folder):
        for row in LOGINS:
            self.attempt(row[2], self.login, folder, *row)

    def refusal(self, folder, name, before, after, reason):
        server = Server(self.program, folder, BASE + before + "\n", [])
        try:
            client = None if before else login(server, "any")
            place = Place(server, client)
            self.reload(server, BASE + after + "\n", lambda: place.expect("Failed to reload|Reloaded server"))
            place.expect("Failed to reload server configuration: (config reload not supported for )?" + reason)
            assert not server.count("Reloaded: "), f"{name}: something was changed"
            if client is not None:
                settled(client)
        finally:
            problem = server.stop()
        assert problem is None, problem

    def refused(self, folder):
        for row in REFUSED:
            if self.wanted(row, 4):
                self.attempt(row[0], self.refusal, folder, *row[:4])


def wait_for_text(name, words):
    """A file's growth announces itself to nobody; the server writes it within milliseconds."""
    import time  # pylint: disable=import-outside-toplevel
    deadline_at = time.monotonic() + PATIENCE
    while time.monotonic() < deadline_at:
        if os.path.exists(name):
            with open(name, encoding="utf-8") as file:
                if words in file.read():
                    return
        time.sleep(0.01)
    raise AssertionError(f"{words} never came to {name}")


def main():
    suite = Suite(os.path.abspath(sys.argv[1]))
    os.environ["MYELIN_FLAGS"] = ""
    with tempfile.TemporaryDirectory() as folder:
        suite.changed(folder)
        suite.logins(folder)
        suite.refused(folder)
    Server.abandon()
    print(f"reload of options: {suite.passed} passed, {suite.failed} failed, {suite.left_out} unknown to this release")
    sys.stdout.flush()
    os._exit(1 if suite.failed or suite.passed == 0 else 0)


if __name__ == "__main__":
    main()
