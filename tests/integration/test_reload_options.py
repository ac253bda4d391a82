#!/usr/bin/env python3
"""tests/integration/test_reload_options.py SERVER - every option that a reload may change, and every one that it may not.

Method: one server under load; for each row of reload_rows.py the file gets its lines and loses them again. Each time the
log has to say so in nats-server's words, what was in force before is so no longer, what is so now holds for those whom it
concerns, and the load and some bystanders, whom it does not concern, have missed nothing and lost no connection. Then
come, under the same load, the rows that a reload refuses, with the reason, as a whole: nothing changes. With nats-server
as SERVER (make reload-nats) the rows prove themselves; those that its release does not know are left out.
"""
import concurrent.futures
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reload_rows import (AUTHORITY, DAEMON, FOLDER, NEWER, OWN, ROWS, Place, arrival, login, outcome, own_syslog,  # noqa: E402
                         settled, stapled, text, tls, verified, zone_file)
from server import PATIENCE, Client, Server  # noqa: E402
from test_reload import Load  # noqa: E402
import test_reload_dials  # noqa: E402
import test_reload_times  # noqa: E402

# option, lines for the file before, lines after, the reason
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
    ("allow_non_tls", tls(), tls() + "\nallow_non_tls: true", "AllowNonTLS: old=false, new=true"),
    ("system_account", "", "system_account: A", "SystemAccount: old=S, new=A"),
    ("no_auth_user", "", "no_auth_user: any", "NoAuthUser: old=, new=any"),
    ("no_system_account", "", "no_system_account: true", "NoSystemAccount: old=false, new=true"),
    ("verify_and_map", verified(),
     tls(f', ca_file: "{AUTHORITY.file}", verify_and_map: true'), "TLSMap: old=false, new=true"),
    ("connection_rate_limit", tls(), tls(", connection_rate_limit: 5"), "TLSRateLimit: old=0, new=5"),
    ("cluster", "", 'cluster { listen: "127.0.0.1:23999" }', "cluster host: old=, new=127.0.0.1"),
    ("gateway", "", 'gateway { name: G, listen: "127.0.0.1:23999" }', "Gateway"),
    ("client_advertise", "", 'client_advertise: "a:b:c"', "invalid ClientAdvertise value of a:b:c, err="),
    ("shards", "", "shards: 1", "shards: old=3, new=1", OWN),
    ("busy_poll", "", "busy_poll: 1ms", "busy_poll: old=.*, new=1ms", OWN),
    ("mailbox_bytes", "", "mailbox_bytes: 65536", "mailbox_bytes: old=1048576, new=65536", OWN),
    ("receive_buffers", "", "receive_buffers: 64", "receive_buffers: old=256, new=64", OWN),
    ("receive_buffer_bytes", "", "receive_buffer_bytes: 65536", "receive_buffer_bytes: old=32768, new=65536", OWN),
    ("pin", "", "pin: false", "pin: old=true, new=false", OWN),
    ("match_cache_entries", "", "match_cache_entries: 64", "match_cache_entries: old=8192, new=64", OWN),
    ("two of which one may change", "", "debug: true\nmax_subscriptions: 5", "MaxSubs: old=0, new=5"),
]


# One login for all instead of accounts. Before, behind, what the log says; logins, and for each how one that is there goes
# on, and how one that comes fares before and behind. Whether a load goes on meanwhile: as `witness`, if he is in both.
WITNESS, SEED_KEY = "{user: witness, password: p}", "UDUPMBRBKNBMIRYCJEHYELNFX66P2KCSANYFGGIFTCVDPOMRHFJDHRX2"
VIOLATION, SILENCE = "Authorization Violation", "the end"
ONE, OTHER, NOBODY = {"user": "u", "pass": "p"}, {"user": "v", "pass": "q"}, {}


def users(*more):
    return "authorization { users: [ %s ] }\n" % ", ".join((WITNESS,) + more)


LOGINS = [
    ("authorization { user: u, password: p }", "authorization { user: v, password: q }", ["authorization username", "authorization password"],
     [(ONE, VIOLATION, None, VIOLATION), (OTHER, None, VIOLATION, None)]),
    ("authorization { user: u, password: p }", "authorization { user: u, password: q }", ["authorization password"],
     [(ONE, VIOLATION, None, VIOLATION), ({"user": "u", "pass": "q"}, None, VIOLATION, None)]),
    ("authorization { token: t }", "authorization { token: s }", ["authorization token"],
     [({"auth_token": "t"}, VIOLATION, None, VIOLATION), ({"auth_token": "s"}, None, VIOLATION, None)]),
    (users("{user: u, password: p}"), users("{user: v, password: q}"), ["authorization users"],
     [(ONE, SILENCE, None, VIOLATION), (OTHER, None, VIOLATION, None)]),
    (users("{nkey: %s}" % SEED_KEY), users(), ["authorization nkey users"], []),
    (users("{user: u, password: p}") + "no_auth_user: u", users(), ["accounts"],
     [(NOBODY, SILENCE, None, VIOLATION), (ONE, SILENCE, None, VIOLATION)]),
]


PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "configuration.md")
SEVERAL = {"authorization", "accounts"}  # what is in them has rows, and LOGINS
HOST_AND_PORT = {"listen", "https", "https_port"}  # written in another way; https excludes http, which all here have


class Suite:
    def __init__(self, program):
        self.program, self.own = program, "myelin" in os.path.basename(program)
        self.newer = self.own or "current" in program
        self.daemon = own_syslog()
        self.passed = self.failed = self.left_out = 0

    def wanted(self, needs):
        known = {None: True, NEWER: self.newer, OWN: self.own, DAEMON: self.daemon}[needs]
        if needs == DAEMON and not known:
            print("syslog: left out, the system lets nobody make a daemon of his own")
        self.left_out += not known
        return known

    def text(self, lines):
        made = text(**(lines if isinstance(lines, dict) else {"lines": lines}))
        return made.replace("server_name", "shards: 3\nserver_name") if self.own else made

    def attempt(self, what, work, *arguments):
        try:
            problem = work(*arguments)
        except (AssertionError, OSError, ValueError, KeyError) as error:
            problem = str(error)[:3000]
        self.passed += problem is None
        self.failed += problem is not None
        if problem is not None:
            print(f"FAILED {what}: {problem}")

    # ---- what may change ----

    def row(self, place, row):
        place.reload(self.text(row.off))
        said = ("accounts",) + tuple(words if words.startswith("Reload: ") else "Reloaded: .*" + words for words in row.says)
        for lines, words, wanted in zip((row.off, row.on, row.off), said, (row.without, row.within, row.without)):
            place.come(row)
            if "COUNT" in lines:
                lines = lines.replace("COUNT", str(place.connections()))
            place.reload(self.text(lines))
            place.expect("Reloaded server")
            place.expect("^.*" + words)
            place.fill()
            found = row.probe(place)
            wanted = str(place.server.process.pid) if wanted == "PID" else wanted
            assert found == wanted, f"{found} with {lines or 'nothing'}, not {wanted}"

    def changed(self, place, bystanders):
        for row in ROWS:
            if self.wanted(row.needs):
                self.attempt(row.name, self.row, place, row)
                for client in bystanders:
                    self.attempt(f"a bystander of {row.name}", settled, client)
        for client in place.both:
            client.close()

    # ---- what may not ----

    def refusal(self, place, before, after, reason):
        place.reload(self.text(before))
        place.expect("Reloaded server")
        place.reload(self.text(after))
        said = place.expect("Failed to reload server configuration: (config reload not supported for )?" + reason)[1]
        assert "Reloaded: " not in said, f"something was changed: {said}"

    def refused(self, place, bystanders):
        for row in REFUSED:
            if self.wanted(row[4] if len(row) > 4 else None):
                self.attempt("refusal of " + row[0], self.refusal, place, *row[1:4])
                for client in bystanders:
                    self.attempt(f"a bystander of the refused {row[0]}", settled, client)

    # ---- what is documented ----

    @staticmethod
    def documented():
        """Each option that docs/configuration.md says may change has a row, and so has each that may not."""
        with open(PAGE, encoding="utf-8") as file:
            table = file.read().split("\n| Option (aliases)", 1)[1].split("\n\n", 1)[0]
        said = {}
        for line in table.split("\n")[2:]:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for name in re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cells[0])):
                said[name] = cells[-1][:1]
        assert len(said) > 40, said
        changed = {row.name.split()[0] for row in ROWS} | {scenario.__name__ for scenario in test_reload_times.SCENARIOS} | \
            {name.split("_", 1)[1] for name in vars(test_reload_dials) if name.startswith(("case_", "unpooled_"))} | SEVERAL
        missing = {name for name, kind in said.items() if kind == "y"} - changed
        missing |= {name for name, kind in said.items() if kind == "n"} - {row[0] for row in REFUSED} - HOST_AND_PORT
        assert not missing, f"no row for {missing}"

    def loaded(self, folder):
        os.environ["TZ"] = ":" + zone_file()
        server = Server(self.program, folder, self.text(""), [])
        load = Load(server)
        assert load.begun.wait(PATIENCE)  # nats-server knows no users for a moment while it reloads
        bystanders = [login(server, user) for user in ("any", "witness", "plain", "system")]
        place = Place(server)
        place.staying = place.json("connz")["num_connections"]
        self.changed(place, bystanders)
        self.refused(place, bystanders)
        self.attempt("the load", load.finish)
        self.attempt("the end", server.stop)

    # ---- one login for all ----

    def login(self, before, after, says, logins):
        """Messages that were taken before the reload come before the end of whom they are for."""
        base = 'listen: "127.0.0.1:-1"\n'
        with tempfile.TemporaryDirectory() as folder:  # it is read again at a reload
            server = Server(self.program, folder, base + before + "\n", [])
            return self.logged_in(server, base, before, after, says, logins)

    def logged_in(self, server, base, before, after, says, logins):
        load = Load(server) if WITNESS in before and WITNESS in after else None
        if load is not None:
            assert load.begun.wait(PATIENCE)
        place, there = Place(server), []
        for who, stays, fares, _ in logins:
            assert (found := arrival(place, **who)) == fares, f"{found} before, not {fares}: {who}"
            if fares is None:
                there.append((Client(server).login(**who), who, stays))
        for client, *_ in there:
            outcome(client, b"SUB x 1\r\n")
        for client, *_ in there:
            client.send(b"PUB x 1\r\nx\r\n" * 100)
            client.send(b"SUB end 2\r\nPUB end 0\r\n\r\n")  # what was taken is all here
            while not client.line().startswith(b"MSG end"):
                pass
        place.reload(base + after + "\n")
        for words in says:
            place.expect(f"Reloaded: {words}$")
        for client, who, stays in there:
            found = outcome(client, b"")
            if self.own or "{ user:" not in before:  # nats-server ends a single user's without a word
                assert found == stays, f"{found} for who was there, not {stays}: {who}"
        for who, _, _, fares in logins:
            assert (found := arrival(place, **who)) == fares, f"{found} behind, not {fares}: {who}"
        if load is not None:
            load.finish()
        return server.stop()

    def logins(self):
        with concurrent.futures.ThreadPoolExecutor(len(LOGINS)) as pool:
            for done in [pool.submit(self.attempt, row[2][0], self.login, *row) for row in LOGINS]:
                done.result()


def main():
    suite = Suite(os.path.abspath(sys.argv[1]))
    os.environ["MYELIN_FLAGS"] = ""
    with tempfile.TemporaryDirectory() as folder:
        suite.loaded(folder)
    suite.logins()
    suite.attempt("the documentation", suite.documented)
    Server.abandon()
    FOLDER.cleanup()
    print(f"reload of options: {suite.passed} passed, {suite.failed} failed, {suite.left_out} unknown to this release")
    sys.stdout.flush()
    os._exit(1 if suite.failed or suite.passed == 0 else 0)


if __name__ == "__main__":
    main()
