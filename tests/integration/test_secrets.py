#!/usr/bin/env python3
"""tests/integration/test_secrets.py SERVER - no password, token, signature or JWT is ever logged, traced or monitored.

Method: a server with -DV, each kind of login, right and wrong, well-formed and not; secrets that it was configured
with and secrets that clients send are all marked, and no line that it writes, and nothing that it tells a client, may
hold a mark; no page of its monitoring either. What it says of wrong configurations and flags is searched as well: at -t,
at its start and at a reload. So that a silent server does not pass, each scenario names the lines that have to be there.
"""
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import PATIENCE, Client, Server  # noqa: E402

MARK = "Zz9Secret"  # in every secret below; in no name
DIGITS = "90210902109021090210902"  # the mark of those that are numbers, and too large for one
HASHED = MARK + "hashed"
NKEY = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
# A signature and a JWT are secrets by their place; these have the shape of one and the mark.
SIGNATURE = MARK + "J0gm0V0fGYSB3izoLpG0ZBMMPp0YZuicBhjBQvEGh6sRdyt3YLr1nf2VMlsXhKgA7eh3lCaSQM1mL"
JWT = f"eyJ0eXAiOiJKV1Qi.{MARK}.{MARK}sig"

USERS = """authorization {{ users: [
 {{user: plain, password: {mark}plain}}
 {{user: hashed, password: "{hash}"}}
 {{nkey: {nkey}}}
] }}
"""
PROXIES = "proxies { trusted: [ { key: %s } ] }\n" % NKEY
TOKEN = f"authorization {{ token: {MARK}token }}\n"
SINGLE = f"authorization {{ user: one, password: {MARK}one }}\n"
ACCOUNTS = f"""accounts {{ A {{ users: [ {{user: a, password: {MARK}account}} ] }} }}
"""


def connects(*logins):
    return [b'CONNECT {"verbose":false,%s}\r\nPING\r\n' % login.encode() for login in logins]


def login(**fields):
    return ",".join(f'"{key}":"{value}"' for key, value in fields.items())


# What clients say; each on a connection of its own, read to its end or its PONG.
LOGINS = connects(
    login(user="plain", **{"pass": MARK + "plain"}), login(user="plain", **{"pass": MARK + "wrong"}),
    login(user="hashed", **{"pass": HASHED}), login(user="hashed", **{"pass": HASHED + "wrong"}),
    login(user="nobody", **{"pass": MARK}), login(auth_token=MARK + "token"), login(auth_token=MARK + "wrong"),
    login(user="one", **{"pass": MARK + "one"}), login(user="a", **{"pass": MARK + "account"}),
    login(nkey="S" + NKEY + MARK, sig=SIGNATURE), login(nkey=NKEY, sig=SIGNATURE), login(nkey=NKEY, sig=SIGNATURE, jwt=JWT), login(jwt=JWT, sig=SIGNATURE),
    login(user="plain", PASS=MARK), login(user="plain", **{"pa\\u0073s": MARK}), login(proxy_sig=MARK),
    login(user="plain", **{"pass": MARK + "plain"}, account="X"), login(**{"pass": MARK + '\\"' + MARK}),
) + [
    # What is no JSON is traced as well, and refused.
    b'CONNECT {"user":"plain","pass":"%s' % MARK.encode() + b'"\r\n',
    b'CONNECT {"user":"plain","pass":%s}\r\n' % MARK.encode(),
    b'CONNECT {"pass":["%s"]}\r\n' % MARK.encode(),
    b'CONNECT "pass":"%s"\r\n' % MARK.encode(),
    b"CONNECT {'pass':'x,%s'}\r\n" % MARK.encode(),
    b"CONNECT {pass:x,%s}\r\n" % MARK.encode(),
    # Torn, twice, and behind something that is not understood.
    b'CONNECT {"user":"plain","pass":"%splain"}\r\nCONNECT {"user":"plain","pass":"%swrong"}\r\nPING\r\n'
    % (MARK.encode(), MARK.encode()),
    b'PING\r\nCONNECT {"auth_token":"%s"}\r\nPING\r\n' % MARK.encode(),
]
# The unit of a torn CONNECT: each byte on its own would only be slower.
TEAR_BYTES = 7


def speak(server):
    """Every login once; what the server told."""
    told = b""
    for number, words in enumerate(LOGINS):
        client = Client(server)
        pieces = [words] if number % 2 == 0 else [words[at:at + TEAR_BYTES] for at in range(0, len(words), TEAR_BYTES)]
        try:
            for piece in pieces:
                client.send(piece)
            client.send(b"bogus\r\n")  # ends the connection of whoever got in
        except ConnectionError:
            pass  # refused before its last word
        told += client.rest()
        client.close()
    return told.decode(errors="replace")


PAGES = ("varz", "connz?auth=1&subs=detail&state=all", "connz?auth=1&state=closed", "accountz", "accountz?acc=$G",
         "accountz?acc=A", "accstatz?unused=1", "subsz?subs=1", "routez?subs=1", "gatewayz?accs=1", "healthz", "metrics")


def pages(server):
    """What every page of monitoring shows."""
    line = server.expect("Starting http monitor on ")
    port = int(line.rsplit(":", 1)[1])
    told = ""
    for page in PAGES:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=15) as answer:
                told += answer.read().decode()
        except urllib.error.HTTPError as error:  # not every configuration has an account A
            told += error.read().decode()
    return told


def monitored(server):
    """The pages while those who got in are connected, and those who did not are remembered."""
    clients = []
    for words in LOGINS:
        client = Client(server)
        client.send(words)
        clients.append(client)
    for client in clients:  # each was decided
        while (line := client.line() if b"\r\n" in client.buffer or client.fill() else b"PONG") != b"PONG":
            pass
    told = pages(server)
    assert '"authorized_user"' in told and '"reason": "Authentication Failure"' in told, "monitoring shows nobody"
    for client in clients:
        client.close()
    return told


def leaks_of(text):
    return [line for line in text.splitlines() if any(mark in line for mark in (MARK, MARK.upper(), DIGITS))]


def check(server, told, *needed):
    end = server.stop()
    assert end is None, end
    log = "\n".join(server.lines)
    for text in needed:
        assert text in log, f"{text!r} is not in the log, so nothing is shown"
    leaks = leaks_of(log + "\n" + told)
    assert not leaks, "secrets were shown:\n" + "\n".join(leaks)


def hash_of(program, password):
    done = subprocess.run([program, "mkpasswd", "--password-stdin", "-c", "4"], input=password + "\n", text=True,
                          capture_output=True, check=True)
    return re.search(r"\$2\S+", done.stdout).group(0)


def logins_of_every_kind(program, folder):
    """Against a list of users, a token, a single user, and users of accounts."""
    users = USERS.format(mark=MARK, hash=hash_of(program, HASHED), nkey=NKEY)
    for configuration in (users, PROXIES + TOKEN, SINGLE, ACCOUNTS):
        server = Server(program, folder, 'http: "127.0.0.1:-1"\n' + configuration)
        told = speak(server) + monitored(server)
        check(server, told, '"pass":"[REDACTED]"', '"auth_token":"[REDACTED]"', '"sig":"[REDACTED]"',
              '"jwt":"[REDACTED]"', '"proxy_sig":"[REDACTED]"', "authentication error")


def refused(server, configuration):
    """A reload that has to fail."""
    line = server.reloaded(configuration)
    assert "Failed to reload" in line, f"{configuration!r} was taken: {line}"


def reloads(program, folder):
    """Passwords that change, and files that are wrong next to one."""
    server = Server(program, folder, SINGLE)
    server.reload(SINGLE.replace("one}", "one, timeout: 3 }").replace("Secretone", "Secretother"))
    for wrong in (f"authorization {{ user: one, password: {MARK}one, token: {MARK}token }}\n",
                  f"authorization {{ user: one, password: {{ {MARK}: {MARK} }} }}\n",
                  f"authorization {{ token: [ {MARK} ] }}\n", f"authorization {{ user: one, password: [{MARK}] }}\n",
                  f"authorization {{ users: [ {{ user: u, password: {MARK}, password: 7, nonsense: 1 }} ] }}\n",
                  f"authorization {{ users: [ {{ user: u, password: {MARK} }} {{ user: u, password: {MARK} }} ] }}\n",
                  f"authorization {{ user: one, password: {MARK}, users: [ {{ user: u, password: {MARK} }} ] }}\n",
                  f"authorization {{ password: \"{MARK}\n"):
        refused(server, wrong)
    check(server, speak(server), "Failed to reload", '"pass":"[REDACTED]"')


def flags(program, folder):
    """--pass and --auth."""
    for words in (f"-V --user one --pass {MARK}one", f"-V --auth {MARK}token"):
        os.environ["MYELIN_FLAGS"] = words
        server = Server(program, folder, "# nothing\n")
        os.environ["MYELIN_FLAGS"] = "-V"
        check(server, speak(server), '"pass":"[REDACTED]"')


# The last port is none, so that the URL is wrong behind its login.
URL = f"nats://x:{MARK}@127.0.0.1:99999999"
SHOWN = "nats://x:xxxxx@127.0.0.1:99999999"
SEED = "SUA" + MARK.upper() + "K" * 45  # of the length of a seed
ROUTE, GATEWAY = "error parsing route url", "error parsing gateway url"


def routes(*urls):
    return 'cluster { listen: "127.0.0.1:-1", routes: [ %s ] }\n' % ", ".join(f'"{url}"' for url in urls)


def gateway(url):
    return ('gateway { name: A, listen: "127.0.0.1:-1", gateways: [ { name: B, %s } ] }\n' % url)


# A wrong file, and what is said of it: exactly nats-server's words but for what may be a secret.
WRONG_FILES = (
    (routes(URL), f'{ROUTE} ["{SHOWN}"]'),
    (routes(f"x:{MARK}@127.0.0.1:6222"), f'{ROUTE} ["x:xxxxx@127.0.0.1:6222"]'),
    (routes(f"nats://{MARK}@127.0.0.1"), f'{ROUTE} ["nats://xxxxx@127.0.0.1"]'),
    (routes(f"nats://x:{MARK}/{MARK}@127.0.0.1:6222"), f'{ROUTE} ["nats://x:xxxxx@127.0.0.1:6222"]'),
    (routes(f"nats://x:{MARK}@{MARK}@127.0.0.1:0"), f'{ROUTE} ["nats://x:xxxxx@127.0.0.1:0"]'),
    (routes(f"nats://x:{MARK}"), f'{ROUTE} ["nats://x:xxxxx"]'),
    (routes(f"x:{MARK}@nats://127.0.0.1:6222"), f'{ROUTE} ["'),
    (f'cluster {{ listen: "x:{MARK}@127.0.0.1:99999999" }}\n', 'could not parse address string "'),
    (f'listen: "x:{MARK}@127.0.0.1:99999999"\n', 'could not parse address string "'),
    (f'http: "127.0.0.1:x{MARK}@127.0.0.1"\n', 'could not parse '),
    (gateway(f'url: "{URL}"'), f'{GATEWAY} ["{SHOWN}"]'),
    (gateway(f'urls: [ "{URL}", "{URL}" ]'), f'{GATEWAY} ["{SHOWN}"]'),
    (f'authorization {{ users: [ {MARK} ] }}\n', "Expected user entry to be a map/struct, got string"),
    (f'authorization {{ users = {MARK} }}\n', "Expected users field to be an array, got string"),
    (f'accounts {{ A {{ users: [ "a:{MARK}" ] }} }}\n', "Expected user entry to be a map/struct, got string"),
    (f'accounts {{ A {{ users: "{MARK}" }} }}\n', "Expected users field to be an array, got string"),
    (f'accounts {{ A {{ nkey: "{SEED}" }} }}\n', "Not a valid public nkey for an account: \"xxxxx\""),
    (f'accounts {{ A {{ users: [ {{ nkey: "{SEED}" }} ] }} }}\n', "Not a valid public nkey for a user"),
    (f'authorization {{ users: [ {{ nkey: {SEED} }} ] }}\n', "Not a valid public nkey for a user"),
    (f'proxies {{ trusted: [ {{ key: {SEED} }} ] }}\n', 'invalid proxy key "xxxxx"'),
    (f'proxies {{ trusted: [ {SEED} ] }}\n', "expected proxies' trusted entry to be a map/struct, got string"),
    (f'authorization {{ user: one, pass: ${MARK} }}\n', "variable reference for 'xxxxx' on line 1 can not be found"),
    (f'authorization {{ token = $2b$11${MARK} }}\n', "variable reference for 'xxxxx' on line 1 can not be found"),
    (f'accounts {{ A {{ users: [ {{ user: a\n PASSWORD: ${MARK} }} ] }} }}\n', "'xxxxx' on line 2 can not be found"),
    (f'accounts {{ A {{ nkey: ${SEED} }} }}\n', "variable reference for 'xxxxx' on line 1 can not be found"),
    ("authorization { user: one, pass: 9%s }\n" % DIGITS, "is out of the range"),
)
# At -t it is not seen yet.
WRONG_AT_START = (
    (f'no_auth_user: {SEED}\nauthorization {{ users: [ {{ nkey: {NKEY} }} ] }}\n',
     'no_auth_user: "xxxxx" not present as user or nkey'),
    (f'no_auth_user: {SEED}\n', 'no_auth_user: "xxxxx" present, but users/nkeys are not defined'),
    (f'streaming {{ nats_server_url: "nats://x:{MARK}" }}\n', "malformed url: nats://x:xxxxx"),
    (f'streaming {{ nats_server_url: "nats://x:{MARK}@127.0.0.1:99999" }}\n', "malformed url: "),
)
WRONG_FLAGS = (
    (("--cluster", "nats://127.0.0.1:-1", "--routes", URL), f'{ROUTE} ["{SHOWN}"]'),
    (("--cluster", "nats://127.0.0.1:-1", "--routes", f"nats://127.0.0.1:1, nats://x:{MARK},{MARK}@127.0.0.1:1"), ROUTE),
    (("--cluster", f"x:{MARK}@127.0.0.1:6222"), "first path segment in URL cannot contain colon"),
    (("--cluster", f"nats://x:{MARK}@127.0.0.1:99999999"), "missing port in address"),
    (("--cluster", f"nats://x:{MARK}"), "missing port in address"),
    ((f"---pass={MARK}",), "bad flag syntax: ---pass=xxxxx"),
)


def refuses(program, folder, words, needed, what):
    """The program with these words ends, says what is needed, and shows no secret."""
    done = subprocess.run([program, "-a", "127.0.0.1", "-p", "-1", "-DV", *words], cwd=folder, text=True,
                          capture_output=True, timeout=30, check=False)
    said = done.stdout + done.stderr
    assert not leaks_of(said), f"{what}: secrets were shown:\n" + "\n".join(leaks_of(said))
    assert done.returncode != 0 or "Usage: " in said, f"{what} was taken:\n{said}"
    assert needed in said, f"{what}: {needed!r} was not said but:\n{said}"


def wrong(program, folder):
    """What is said of files and flags that are wrong where a secret stands: at -t, at the start, at a reload."""
    server = Server(program, folder, "# nothing\n")
    path, seen = os.path.join(folder, "wrong.conf"), []
    for configuration, needed in WRONG_FILES + WRONG_AT_START:
        with open(path, "w", encoding="utf-8") as file:
            file.write(configuration)
        what, early = configuration.strip(), (configuration, needed) in WRONG_FILES
        try:
            for words in (("-t", "-c", path), ("-c", path)) if early else (("-c", path),):
                refuses(program, folder, words, needed, what)
            if early or "streaming" not in configuration:  # no reload looks at streaming
                refused(server, configuration)
        except AssertionError as error:
            seen.append(str(error))
    for words, needed in WRONG_FLAGS:
        try:
            refuses(program, folder, words, needed, " ".join(words))
        except AssertionError as error:
            seen.append(str(error))
    assert not seen, "\n".join(seen)
    check(server, "", ROUTE, GATEWAY)


def linked(program, folder):
    """Routes and gateways with logins, right and wrong: the logs and pages of every end."""
    def start(name, configuration):
        place = os.path.join(folder, name)
        os.mkdir(place)
        return Server(program, place, f'server_name: {name}\nhttp: "127.0.0.1:-1"\n{configuration}')

    def block(kind, cluster, more=""):
        who = f"authorization {{ user: x, password: {MARK}{kind} }}"
        return f'{kind} {{ name: {cluster}, listen: "127.0.0.1:-1", {who}{more} }}\n'

    def port(server, kind):
        return int(server.expect(f"Listening for {kind} connections on ").rsplit(":", 1)[1])

    def dials(word, server):
        return block("cluster", "A", f', routes: [ "nats://x:{MARK}{word}@127.0.0.1:{port(server, "route")}" ]')
    other = start("other", block("cluster", "B") + block("gateway", "B"))
    servers = [other]
    for word in ("gateway", "wrong"):
        url = f"nats://x:{MARK}{word}@127.0.0.1:{port(other, 'gateways')}"
        servers.append(start(f"gate{word}", block("cluster", "A") + block(
            "gateway", "A", f', gateways: [ {{ name: B, url: "{url}" }} ]')))
    gate = servers[1]
    servers += [start(f"dials{word}", dials(word, gate)) for word in ("cluster", "wrong")]
    for server, line in ((gate, "Outbound gateway connection to"), (gate, "Route connection created"),
                         (gate, "Authorization Violation"), (other, "Authorization Violation")):
        server.expect(line)
    told, end = "", time.monotonic() + PATIENCE
    while not re.search(r'"num_routes": [1-9](.|\n)*"outbound_gateways": \{\s*"B": ', told):  # each login was decided
        assert time.monotonic() < end, told
        told = pages(gate)
    told = {server: pages(server) for server in servers}
    for server in servers:
        check(server, told[server])


def main():
    passed = failed = 0
    os.environ["MYELIN_FLAGS"] = "-V"  # -D is the server's in any case
    for scenario in (logins_of_every_kind, linked, reloads, flags, wrong):
        with tempfile.TemporaryDirectory() as folder:
            try:
                scenario(os.path.abspath(sys.argv[1]), folder)
                passed += 1
            except (AssertionError, OSError) as error:
                failed += 1
                print(f"FAILED {scenario.__name__}: {error}\n{Server.abandon()}")
    print(f"secrets: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
