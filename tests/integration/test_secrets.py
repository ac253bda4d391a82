#!/usr/bin/env python3
"""tests/integration/test_secrets.py SERVER - no password, token, signature or JWT is ever logged, traced or monitored.

Method: a server with -DV, each kind of login, right and wrong, well-formed and not; secrets that it was configured
with and secrets that clients send are all marked, and no line that it writes, and nothing that it tells a client, may
hold a mark; no page of its monitoring either. So that a silent server does not pass, each scenario names the lines that have to be there.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from server import Client, Server  # noqa: E402

MARK = "Zz9Secret"  # in every secret below; in no name
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
    login(nkey=NKEY, sig=SIGNATURE), login(nkey=NKEY, sig=SIGNATURE, jwt=JWT), login(jwt=JWT, sig=SIGNATURE),
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
         "accountz?acc=A", "accstatz?unused=1", "subsz?subs=1", "healthz", "metrics")


def monitored(server):
    """What every page of monitoring shows while those who got in are connected, and those who did not are remembered."""
    line = server.expect("Starting http monitor on ")
    port = int(line.rsplit(":", 1)[1])
    clients = []
    for words in LOGINS:
        client = Client(server)
        client.send(words)
        clients.append(client)
    for client in clients:  # each was decided
        while (line := client.line() if b"\r\n" in client.buffer or client.fill() else b"PONG") != b"PONG":
            pass
    told = ""
    for page in PAGES:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=15) as answer:
                told += answer.read().decode()
        except urllib.error.HTTPError as error:  # not every configuration has an account A
            told += error.read().decode()
    assert '"authorized_user"' in told and '"reason": "Authentication Failure"' in told, "monitoring shows nobody"
    for client in clients:
        client.close()
    return told


def check(server, told, *needed):
    end = server.stop()
    assert end is None, end
    log = "\n".join(server.lines)
    for text in needed:
        assert text in log, f"{text!r} is not in the log, so nothing is shown"
    leaks = [line for line in (log + "\n" + told).splitlines() if MARK in line]
    assert not leaks, "secrets were shown:\n" + "\n".join(leaks)


def hash_of(program, password):
    done = subprocess.run([program, "mkpasswd", "--password-stdin", "-c", "4"], input=password + "\n", text=True,
                          capture_output=True, check=True)
    return re.search(r"\$2\S+", done.stdout).group(0)


def logins_of_every_kind(program, folder):
    """Against a list of users, a token, a single user, and users of accounts."""
    users = USERS.format(mark=MARK, hash=hash_of(program, HASHED), nkey=NKEY)
    for configuration in (users, TOKEN, SINGLE, ACCOUNTS):
        server = Server(program, folder, 'http: "127.0.0.1:-1"\n' + configuration)
        told = speak(server) + monitored(server)
        check(server, told, '"pass":"[REDACTED]"', '"auth_token":"[REDACTED]"', '"sig":"[REDACTED]"',
              '"jwt":"[REDACTED]"', "authentication error")


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
        before = server.count("Failed to reload")
        server.write(wrong)
        server.process.send_signal(signal.SIGHUP)
        with server.changed:
            server.changed.wait_for(lambda: sum("Failed to reload" in line for line in server.lines) > before or
                                    server.process.poll() is not None, 10)
        assert server.count("Failed to reload") > before, f"{wrong!r} was taken:\n" + "\n".join(server.lines[-5:])
    check(server, speak(server), "Failed to reload", '"pass":"[REDACTED]"')


def flags(program, folder):
    """--pass and --auth."""
    for words in (f"-V --user one --pass {MARK}one", f"-V --auth {MARK}token"):
        os.environ["MYELIN_FLAGS"] = words
        server = Server(program, folder, "# nothing\n")
        os.environ["MYELIN_FLAGS"] = "-V"
        check(server, speak(server), '"pass":"[REDACTED]"')


def main():
    passed = failed = 0
    os.environ["MYELIN_FLAGS"] = "-V"  # -D is the server's in any case
    for scenario in (logins_of_every_kind, reloads, flags):
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
