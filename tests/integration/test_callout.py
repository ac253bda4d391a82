#!/usr/bin/env python3
"""tests/integration/test_callout.py SERVER [OTHER...] - auth callout: a service decides who comes in and as whom, over
shards, over servers, with an OTHER (a newest nats-server) on both sides; the rows run against each OTHER too, for their
own proof.
"""
import concurrent.futures
import json
import os
import re
import resource
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from auth_service import AuthService, let_in, response, sealed_by_tls, user  # noqa: E402
from cluster_client import WAIT_SECONDS, Client, Failure, Node, Nodes, free_ports, pump, until_said  # noqa: E402
from nkeys import Key, letters  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tls"))
from authority import Authority  # noqa: E402

AV = b"-ERR 'Authorization Violation'"
EXPIRED = b"-ERR 'User Authentication Expired'"
TIMEOUT = 20  # seconds that a service may take where the test does not wait for it to be over
CROWD = 1000
WAITING_MAX = 4096  # of a shard: CALLOUTS_MAX


def config(issuer, timeout=TIMEOUT, more="", last=""):
    return f"""
accounts {{
    AUTH {{ users: [ {{user: auth, password: auth}}, {{nkey: {NKEY.public}}} ] }}
    APP {{ users: [ {{user: app, password: app}}, {{user: limited, password: limited, permissions: {{publish: x}}}} ] }}
    OTHER {{ users: [ {{user: other, password: other}} ] }}
    STRICT {{ default_permissions: {{publish: "only.this"}} }}
    SYS {{ users: [ {{user: sys, password: sys}} ] }}
}}
system_account: SYS
authorization {{
    timeout: {timeout}
    users: [ {{user: global, password: global}} ]
    auth_callout {{ issuer: {issuer.public}, account: AUTH, auth_users: [auth, sys, {NKEY.public}], {more} }}
}}
{last}
"""


NKEY = Key("U")


class Login(Client):
    """A connection that says what it is told to; whether it is let in is for the test to see."""

    def __init__(self, node, first=None, tls=None, **connect):  # pylint: disable=super-init-not-called
        self.node = node
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=WAIT_SECONDS)
        if tls:
            self.socket = sealed_by_tls(self.socket, tls)
        self.buffer, self.messages, self.pongs, self.errors, self.infos = b"", [], 0, [], []
        self.info, self.next_sid, self.closed = b"", 1, False
        connect = {"verbose": False, "protocol": 1, **connect}
        self.send(first or b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")

    def read(self):
        super().read()
        while not self.closed and isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            super().read()

    def decided(self):
        pump([self], lambda: self.pongs > 0 or self.closed)
        return self.pongs > 0


def check(condition, what):
    if not condition:
        raise Failure(what)


def expect(what, wanted, got):
    check(wanted == got, f"{what}: {got!r} instead of {wanted!r}")


def refused(node, what="", **connect):
    """A login that ends with Authorization Violation, and what the log says of it."""
    before = len(re.findall(what, node.said())) if what else 0
    client = Login(node, **connect)
    check(not client.decided(), f"{connect} is let in")
    expect(f"what {connect} is told", [AV], client.errors)
    if what:
        until_said(node, what, before + 1)
    return client


def let_in_as(node, **connect):
    client = Login(node, **connect)
    check(client.decided(), f"{connect} is refused: {client.errors}")
    return client


def hears(one, other, subject="some.where"):
    """Whether what one publishes reaches the other."""
    sid = other.subscribe(subject)
    other.flush()
    one.publish(subject, b"x")
    one.flush()
    count = len(other.messages)
    other.flush()
    other.unsubscribe(sid)
    return len(other.messages) > count or count > 0


class World(Nodes):
    """One server, and a service."""

    def __init__(self, path, timeout=TIMEOUT, more="", sealed=False, last="", tls=None, shard_count=3):
        self.issuer, self.stranger = Key("A"), Key("A")
        self.xkey = Key("X") if sealed else None
        more += f"xkey: {self.xkey.public}" if sealed else ""
        port, cluster_port = free_ports(2)
        self.node = Node(path, "one", port, cluster_port, shards(path, shard_count), "",
                         config(self.issuer, timeout, more, last))
        self.node.cluster_name = "C"
        self.nodes = [self.node]
        self.service, self.tls = None, tls

    def __enter__(self):
        super().__enter__()
        self.service = AuthService(self.node, self.issuer, self.xkey, tls=self.tls)
        return self

    def __exit__(self, *what):
        if self.service:
            self.service.close()
        super().__exit__(*what)


def shards(path, count=3):
    return () if "nats-server" in os.path.basename(path) else ("--shards", str(count))


# ---- rows: what the service says, and what comes of it ----

def bad_answers(world):
    """Name, what the service says, what the log says of it."""
    issuer, stranger = world.issuer, world.stranger
    other_user, other_server = Key("U").public, Key("N").public
    good = lambda c, **more: user(issuer, c, **more)
    late = int(time.time()) - 10
    return [
        ("error", lambda c: response(issuer, c, body={"error": "bad creds"}),
         "Auth callout service returned an error: bad creds"),
        ("empty", lambda c: b"", 'Auth callout violation: "no reason supplied" on account "AUTH"'),
        ("both", lambda c: response(issuer, c, good(c), body={"error": "x"}),
         "Authorization response had validation errors: Only Error or Jwt can be set"),
        ("neither", lambda c: response(issuer, c),
         "Authorization response had validation errors: Error or Jwt is required"),
        ("bare", lambda c: good(c).encode(), "Not an authorization request claim"),
        ("outer-sub", lambda c: response(issuer, c, good(c), sub=other_user),
         "Auth callout violation: auth callout response is not for expected user"),
        ("outer-aud", lambda c: response(issuer, c, good(c), aud=other_server),
         "Auth callout violation: auth callout response is not for server"),
        ("outer-iss", lambda c: response(stranger, c, good(c)), "Auth callout signing key is unknown"),
        ("outer-late", lambda c: response(issuer, c, good(c), exp=late),
         "Authorization response had validation errors: claim is expired"),
        ("forged", lambda c: forged(response(issuer, c, good(c))), "Claim failed V2 signature verification"),
        ("chunks", lambda c: b"eyJ0eXAi.eyJ0eXAi", "Expected 3 chunks"),
        ("inner-iss", lambda c: response(issuer, c, user(stranger, c)),
         'Wrong issuer for auth callout response on account "AUTH", expected "%s" got "%s"'
         % (issuer.public, stranger.public)),
        ("inner-sub", lambda c: response(issuer, c, good(c, sub=other_user)), 'Expected authorized user of "U'),
        ("no-account", lambda c: response(issuer, c, good(c, account="NOPE")),
         'No valid account "NOPE" for auth callout response on account "AUTH": account missing'),
        ("issuer-account", lambda c: response(issuer, c, good(c, body={"issuer_account": stranger.public})),
         'Error non operator mode account "AUTH": attempted to use issuer_account'),
        ("expired", lambda c: response(issuer, c, good(c, exp=late)), "Error validating user JWT: claim is expired"),
        ("not-yet", lambda c: response(issuer, c, good(c, nbf=int(time.time()) + 1000)),
         "Error validating user JWT: claim is not yet valid"),
        ("source", lambda c: response(issuer, c, good(c, body={"src": ["10.0.0.0/8"]})),
         'Authorized user on account "AUTH" not allowed from source "127.0.0.1"'),
        ("times", lambda c: response(issuer, c, good(c, body={"times": [never()]})),
         'Authorized user on account "AUTH" outside of valid connect times'),
        ("types", lambda c: response(issuer, c, good(c, body={"allowed_connection_types": ["WEBSOCKET"]})),
         'Authorized user on account "AUTH" not allowed to use connection type'),
        ("no-types", lambda c: response(issuer, c, good(c, body={"allowed_connection_types": ["FOO"]})),
         'Authorized user on account "AUTH" using invalid connection type'),
        ("proxy", lambda c: response(issuer, c, good(c, body={"proxy_required": True})), "Proxy connection required"),
        ("bad-cidr", lambda c: response(issuer, c, good(c, body={"src": ["nowhere"]})),
         'Error validating user JWT: invalid cidr "nowhere" in user src limits'),
        ("bad-subject", lambda c: response(issuer, c, good(c, body={"pub": {"allow": ["a..b"]}})),
         "Error validating user JWT: "),
    ]


def forged(said):
    """The same with another letter in the claims."""
    parts = said.decode().split(".")
    parts[2] = letters(bytes(64))
    return ".".join(parts).encode()


def never():
    """A span of the day that does not hold now."""
    hour = (time.localtime().tm_hour + 12) % 24
    return {"start": "%02d:00:00" % hour, "end": "%02d:59:59" % hour}


def one_bad_answers(world):
    for name, said, log in bad_answers(world):
        world.service.answers[name] = said
        refused(world.node, re.escape(log), user=name)


def one_what_is_asked(world):
    world.service.answers["ann"] = let_in(world.issuer)
    ann = let_in_as(world.node, user="ann", **{"pass": "secret"}, name="app", lang="py", version="1.2")
    claims = world.service.requests[-1]["claims"]
    info = json.loads(ann.infos[0].split(None, 1)[1])
    nats = claims["nats"]
    expect("aud", "nats-authorization-request", claims["aud"])
    expect("sub", world.issuer.public, claims["sub"])
    expect("iss", info["server_id"], claims["iss"])
    expect("exp", TIMEOUT, claims["exp"] - claims["iat"])
    expect("jti", 52, len(claims["jti"]))
    expect("type", ("authorization_request", 2), (nats["type"], nats["version"]))
    expect("user_nkey", "U", nats["user_nkey"][0])
    check(re.fullmatch(r"\$SYS\._INBOX\.[0-9A-Za-z]{8}\.[0-9A-Za-z]{8}", world.service.requests[-1]["reply"]), "reply")
    expect("server_id", {"name": "one", "host": info["host"], "id": info["server_id"], "version": info["version"],
                         "cluster": "C"}, nats["server_id"])
    expect("client_info", {"host": "127.0.0.1", "id": info["client_id"], "user": "ann", "name": "app", "kind": "Client",
                           "type": "nats"}, nats["client_info"])
    expect("connect_opts", {"user": "ann", "pass": "secret", "name": "app", "lang": "py", "version": "1.2",
                            "protocol": 1}, nats["connect_opts"])
    check("client_tls" not in nats, "TLS is told of a connection in clear")


def one_what_is_asked_of_others(world):
    """A token, a key, nothing at all; a JWT is not passed on."""
    asked = []
    world.service.answers[""] = lambda claims: asked.append(claims["nats"])
    world.service.answers["jay"] = let_in(world.issuer)
    stranger = Key("U")
    for connect in ({"auth_token": "t0ken"}, {"nkey": stranger.public, "sig": "c2ln"}, {}):
        Login(world.node, **connect)
        pump([], lambda: asked, pause=0.01)
        said, info = asked[0]["connect_opts"], asked.pop()["client_info"]
        expect("what is passed on", {"protocol": 1, **connect}, said)
        expect("as whom", "[REDACTED]" if "auth_token" in connect else connect.get("nkey"), info.get("user"))
    let_in_as(world.node, user="jay", jwt="eyJ0.eyJ0.c2ln")
    check("jwt" not in world.service.requests[-1]["claims"]["nats"]["connect_opts"], "a JWT is passed on")


def one_let_in(world):
    """Account, permissions, name, and that a second request has another key."""
    issuer, answers, node = world.issuer, world.service.answers, world.node
    answers["ann"] = let_in(issuer)
    answers["bob"] = let_in(issuer, "OTHER")
    answers["eve"] = let_in(issuer, "APP", {"pub": {"allow": ["only.>"]}, "sub": {"allow": ["mine.>"],
                                                                                "deny": ["mine.not"]}}, name="Evelyn")
    answers["sue"] = let_in(issuer, "STRICT")
    ann, bob, eve, sue = [let_in_as(node, user=name) for name in ("ann", "bob", "eve", "sue")]
    keys = {request["claims"]["nats"]["user_nkey"] for request in world.service.requests}
    expect("keys", len(world.service.requests), len(keys))
    check(hears(ann, let_in_as(node, user="ann")), "one account does not hear itself")
    check(not hears(ann, bob), "accounts are not apart")
    eve.publish("only.this", b"x")
    eve.publish("something", b"x")
    eve.subscribe("yours")
    eve.subscribe("mine.>")
    eve.flush()
    expect("eve", [b"-ERR 'Permissions Violation for Publish to \"something\"'",
                   b"-ERR 'Permissions Violation for Subscription to \"yours\"'"], eve.errors)
    ann.publish("mine.yes", b"x")
    ann.publish("mine.not", b"x")
    ann.flush()
    eve.flush()
    expect("what eve hears", ["mine.yes"], [message.subject for message in eve.messages])
    until_said(node, r'APP/user:Evelyn')
    sue.publish("only.that", b"x")
    sue.flush()
    expect("the defaults are those of configured users", [], sue.errors)


def one_limits(world):
    """What the token says of subscriptions and payload, and where it says nothing."""
    issuer, node = world.issuer, world.node
    world.service.answers["few"] = let_in(issuer, "APP", {"subs": 1, "payload": 5})
    world.service.answers["none"] = let_in(issuer, "APP", {"subs": 0})
    few = let_in_as(node, user="few")
    few.publish("x", b"12345")
    few.subscribe("a")
    few.subscribe("b")
    pump([few], lambda: few.errors)
    expect("subscriptions", [b"-ERR 'maximum subscriptions exceeded'"], few.errors)
    few = let_in_as(node, user="few")
    few.publish("x", b"123456")
    pump([few], lambda: few.closed)
    expect("payload", [b"-ERR 'Maximum Payload Violation'"], few.errors)
    none = Login(node, user="none")
    pump([none], lambda: none.closed)
    expect("no subscriptions", [b"-ERR 'maximum subscriptions exceeded'"], none.errors)


def one_configured_users(world):
    """They are asked about whether or not their password is right; the service's own are not."""
    issuer, node = world.issuer, world.node
    world.service.answers["app"] = lambda c: response(
        issuer, c, user(issuer, c)) if c["nats"]["connect_opts"].get("pass") == "new" else response(
            issuer, c, body={"error": "old"})
    refused(node, "Auth callout service returned an error: old", user="app", **{"pass": "app"})
    let_in_as(node, user="app", **{"pass": "new"})
    world.service.answers["global"] = let_in(issuer, "OTHER")
    expect("APP", "OTHER", "OTHER" if hears(let_in_as(node, user="global"), let_in_as(node, user="global")) else "")
    asked = len(world.service.requests)
    refused(node, user="auth", **{"pass": "wrong"})
    let_in_as(node, user="auth", **{"pass": "auth"})
    client = Login(node, nkey=NKEY.public, sig="AAAA")
    check(not client.decided(), "a wrong signature")
    expect("who is asked about", asked, len(world.service.requests))


def one_the_subject_is_the_servers(world):
    """Nobody in the callout's account publishes a request; who was put there hears none and answers none."""
    issuer, node = world.issuer, world.node
    service = let_in_as(node, user="auth", **{"pass": "auth"})
    service.publish("$SYS.REQ.USER.AUTH", b"x")
    service.flush()
    denied = b"-ERR 'Permissions Violation for Publish to \"%s\"'"
    expect("the service", [denied % b"$SYS.REQ.USER.AUTH"], service.errors)
    for name, body in (("inside", {}), ("other", {"pub": {"deny": ["z"]}, "sub": {"deny": ["z"]}})):
        world.service.answers[name] = let_in(issuer, "AUTH", body)
        inside = let_in_as(node, user=name)
        inside.publish("$SYS.REQ.USER.AUTH", b"x")
        inside.publish("$SYS._INBOX.abc.def", b"x")
        inside.subscribe("$SYS.REQ.USER.AUTH")
        inside.subscribe("$SYS._INBOX.>")
        inside.flush()
        expect(name, 4, len(inside.errors))
        inside.subscribe(">")
        inside.flush()
        let_in_as(node, user=name)
        inside.flush()
        expect("what is overheard", [], [message.subject for message in inside.messages])


def one_expires(world):
    for seconds in (2, 10):  # a machine may be so slow that the first is over before it is looked at
        world.service.answers["short"] = lambda c, s=seconds: let_in(world.issuer, exp=int(time.time()) + s)(c)
        short = Login(world.node, user="short")
        if short.decided():
            break
    pump([short], lambda: short.closed)
    expect("at the end of its time", [EXPIRED], short.errors)


def one_second_login(world):
    """Another user in a second CONNECT is asked about; the same one is not."""
    issuer, node = world.issuer, world.node
    world.service.answers["ann"] = let_in(issuer, "APP", {"pub": {"deny": ["a"]}})
    world.service.answers["bob"] = let_in(issuer, "APP", {"pub": {"deny": ["b"]}})
    world.service.answers["eve"] = lambda c: response(issuer, c, body={"error": "no"})
    client = let_in_as(node, user="ann")
    for name in (b"bob", b"auth", b"ann"):
        client.send(b'CONNECT {"verbose":false,"user":"%s","pass":"%s"}\r\n' % (name, name))
        client.flush()
    client.publish("a", b"x")
    client.publish("b", b"x")
    client.flush()
    expect("as ann again", [b"-ERR 'Permissions Violation for Publish to \"a\"'"], client.errors)
    client.send(b'CONNECT {"verbose":false,"user":"eve"}\r\n')
    pump([client], lambda: client.closed)
    expect("as eve", AV, client.errors[-1])


def one_who_goes_while_asked(world):
    """Its answer finds nobody, and others do not notice."""
    held = []
    world.service.answers["gone"] = held.append
    world.service.answers["ann"] = let_in(world.issuer)
    gone = Login(world.node, user="gone")
    pump([], lambda: held, pause=0.01)
    gone.close()
    reply = world.service.requests[-1]["reply"]
    said = let_in(world.issuer)(held[0])
    service = let_in_as(world.node, user="auth", **{"pass": "auth"})
    service.publish(reply, said)
    service.flush()
    let_in_as(world.node, user="ann")


def one_first_answer_counts(world):
    held = []
    world.service.answers["two"] = held.append
    client = Login(world.node, user="two")
    pump([], lambda: held, pause=0.01)
    service = let_in_as(world.node, user="auth", **{"pass": "auth"})
    reply = world.service.requests[-1]["reply"]
    service.publish(reply, response(world.issuer, held[0], body={"error": "first"}))
    service.publish(reply, let_in(world.issuer)(held[0]))
    service.flush()
    check(not client.decided(), "the second answer counts")


def one_crowd(world):
    """Many at once, each with an answer of its own."""
    world.service.answers["*"] = let_in(world.issuer)
    count = min(CROWD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    crowd = [Login(world.node, user="crowd%d" % i) for i in range(count)]
    pump(crowd, lambda: all(client.pongs or client.closed for client in crowd))
    expect("let in", count, sum(client.pongs for client in crowd))
    for client in crowd:
        client.close()


def one_events(world):
    """As whom it has come, and who was refused: to the operator, and in the callout's account."""
    node = world.node
    world.service.answers["ann"] = let_in(world.issuer, name="Annabel")
    world.service.answers["bad"] = lambda c: response(world.issuer, c, body={"error": "bad creds"})
    system = let_in_as(node, user="sys", **{"pass": "sys"})
    inside = let_in_as(node, user="auth", **{"pass": "auth"})
    system.subscribe("$SYS.ACCOUNT.APP.CONNECT")
    system.subscribe("$SYS.SERVER.*.CLIENT.AUTH.ERR")
    inside.subscribe("$SYS.ACCOUNT.CLIENT.AUTH.ERR")
    system.flush()
    inside.flush()
    let_in_as(node, user="ann")
    refused(node, user="bad")
    pump([system, inside], lambda: len(system.messages) == 2 and inside.messages)
    connect, error = [json.loads(message.body) for message in system.messages]
    expect("who has come", ("Annabel", "APP"), (connect["client"]["user"], connect["client"]["acc"]))
    expect("who was refused", ("bad", "Authentication Failure"), (error["client"]["user"], error["reason"]))
    error = json.loads(inside.messages[0].body)
    expect("why", ("bad", "Auth callout service returned an error: bad creds"), (error["client"]["user"], error["reason"]))


ROWS = [one_bad_answers, one_what_is_asked, one_what_is_asked_of_others, one_let_in, one_limits, one_configured_users,
        one_the_subject_is_the_servers, one_expires, one_second_login, one_who_goes_while_asked, one_first_answer_counts,
        one_crowd, one_events]


# ---- other configurations ----

def world_sealed(path):
    """Both ways; what is sealed is the service's, whoever has signed it; what is not has to be signed by the issuer."""
    with World(path, sealed=True) as world:
        issuer, service, node = world.issuer, world.service, world.node
        service.answers["ann"] = let_in(issuer)
        service.answers["inner"] = lambda c: response(world.stranger, c, user(issuer, c))
        service.answers["wrong"] = lambda c: response(issuer, c, user(world.stranger, c))
        service.answers["empty"] = lambda c: b""
        ann = let_in_as(node, user="ann")
        info = json.loads(ann.infos[0].split(None, 1)[1])
        expect("who seals", info["xkey"], service.requests[-1]["sealed_by"])
        expect("who is said to", info["xkey"], service.requests[-1]["claims"]["nats"]["server_id"]["xkey"])
        let_in_as(node, user="inner")
        refused(node, "Wrong issuer for auth callout response", user="wrong")
        refused(node, "Auth callout violation: \"no reason supplied\"", user="empty")
        service.seals = False
        let_in_as(node, user="ann")
        refused(node, "Auth callout signing key is unknown", user="inner")
        service.answers["noise"] = lambda c: b"xkv1" + os.urandom(100)
        service.answers["short"] = lambda c: b"xkv1"
        service.answers["other"] = lambda c: Key("X").seal(let_in(issuer)(c), info["xkey"])
        for name in ("noise", "short", "other"):
            refused(node, "Error decrypting auth callout response on account \"AUTH\"", user=name)


def world_silent(path):
    """A service that says nothing, and none at all: refused when the time is over."""
    with World(path, timeout=2) as world:
        refused(world.node, user="silent")
        expect("asked", 1, len(world.service.requests))
        world.service.close()
        world.service = None
        refused(world.node, user="silent")


def world_allowed(path):
    """Users of accounts that are not named are let in, or not, as without a service."""
    with World(path, more="allowed_accounts: [APP]\n") as world:
        issuer, service, node = world.issuer, world.service, world.node
        service.answers["*"] = let_in(issuer, "OTHER")
        other = let_in_as(node, user="other", **{"pass": "other"})
        expect("asked", 0, len(service.requests))
        check(hears(other, let_in_as(node, user="app", **{"pass": "app"})), "app is where it was")
        let_in_as(node, user="other", **{"pass": "wrong"})
        let_in_as(node, user="anybody")
        expect("asked", 3, len(service.requests))


def world_nobody(path):
    """Who sends no credentials is asked about as no_auth_user; before CONNECT that one may do nothing either."""
    with World(path, last="no_auth_user: global") as world:
        asked = []
        world.service.answers["global"] = lambda claims: asked.append(claims) or let_in(world.issuer)(claims)
        let_in_as(world.node)
        expect("as whom", ("global", "global"), tuple(asked[0]["nats"]["connect_opts"].get(key) for key in ("user", "pass")))
        if not shards(path):
            return  # a nats-server lets him in unasked
        silent = Login(world.node, first=b"PING\r\n")
        pump([silent], lambda: silent.closed)
        expect("before CONNECT", [AV], silent.errors)


def world_reload(path):
    """What is the same leaves who is in alone; other logins end who was let in by the service; the block is fixed."""
    with World(path) as world:
        issuer, service, node = world.issuer, world.service, world.node
        service.answers["*"] = let_in(issuer, "APP", {"pub": {"deny": ["not.this"]}})
        client = let_in_as(node, user="ann")
        before = node.accounts
        check(node.reload()[0], "the same is refused")
        client.publish("not.this", b"x")
        client.flush()
        expect("its permissions", 1, len(client.errors))
        node.accounts = before.replace("auth_users: [auth,", "auth_users: [auth, app,")
        taken, said = node.reload()
        check(not taken and "config reload not supported for AuthCallout: old=" in said, said)
        client.flush()
        node.accounts = before.replace("{user: other, password: other}", "{user: other, password: another}")
        check(node.reload()[0], "another password is refused")
        pump([client], lambda: client.closed)
        expect("what it is told", 1, len(client.errors))
        if shards(path):
            reload_with_proxies(world, before)
            reload_while_asked(world, before)


def reload_with_proxies(world, config_text):
    """Who a user's way in concerns is found out by asking again."""
    world.node.accounts = config_text
    check(world.node.reload()[0], "the first file is refused")
    client = let_in_as(world.node, user="ann")
    world.node.accounts = config_text.replace("{user: other, password: other}",
                                              "{user: other, password: other, proxy_required: true}")
    check(world.node.reload()[0], "proxy_required is refused")
    pump([client], lambda: client.closed)


def reload_while_asked(world, config_text):
    """It is asked about once more, and the first answer is none."""
    held = []
    world.service.answers["slow"] = held.append
    client = Login(world.node, user="slow")
    pump([], lambda: held, pause=0.01)
    world.node.accounts = config_text
    check(world.node.reload()[0], "the reload is refused")
    service = let_in_as(world.node, user="auth", **{"pass": "auth"})
    service.publish(world.service.requests[-1]["reply"], let_in(world.issuer)(held[0]))
    service.flush()
    pump([], lambda: len(held) == 2, pause=0.01)
    service.publish(world.service.requests[-1]["reply"], let_in(world.issuer)(held[1]))
    service.flush()
    check(client.decided(), "the second answer does not count")


def world_bound(path):
    """So many may wait; the next ones are refused at once, until there is room again."""
    if not shards(path):
        return  # a nats-server has no bound
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < WAITING_MAX + 200:
        print(f"skipped world_bound of {path}: so few descriptors are allowed")
        return
    with World(path, shard_count=1) as world:
        world.service.answers["ann"] = let_in(world.issuer)
        waiting = [Login(world.node, user="silent") for _ in range(WAITING_MAX)]
        pump([], lambda: len(world.service.requests) == WAITING_MAX, pause=0.01)
        log = f"Authorization callouts: {WAITING_MAX} logins wait for an answer, more are refused"
        refused(world.node, log, user="ann")
        refused(world.node, user="ann")
        expect("how often it is said", 1, world.node.said().count(log))
        expect("who was asked about", WAITING_MAX, len(world.service.requests))
        first = world.service.requests[0]
        service = let_in_as(world.node, user="auth", **{"pass": "auth"})
        service.publish(first["reply"], let_in(world.issuer)(first["claims"]))
        check(waiting[0].decided(), "the first one")
        let_in_as(world.node, user="ann")
        for client in waiting:
            client.close()


def world_traced(path):
    """What the service is told, and what it says, is in no trace."""
    with World(path, last="debug: true\ntrace: true" + ("" if shards(path) else "\nmax_traced_msg_len: 1")) as world:
        world.service.answers["ann"] = let_in(world.issuer)
        let_in_as(world.node, user="ann", **{"pass": "secret"})
        until_said(world.node, r"->> \[MSG \$SYS.REQ.USER.AUTH")
        until_said(world.node, r"<<- \[PUB \$SYS._INBOX")
        world.node.stop()
        check(not shards(path) or "eyJ" not in world.node.said(), "a token is traced")


def world_traced_elsewhere(path):
    """The service may be a client of a server that asks nobody itself: what passes there is in no trace either."""
    if not shards(path):
        return  # a nats-server shows it
    port, cluster_port = free_ports(2)
    node = Node(path, "one", port, cluster_port, shards(path), "", "debug: true\ntrace: true\n")
    nodes = Nodes.__new__(Nodes)
    nodes.nodes = [node]
    with nodes:
        client = let_in_as(node)
        for subject in ("$SYS.REQ.USER.AUTH", "imported.$SYS.REQ.USER.AUTH", "$SYS._INBOX.abcdefgh.12345678"):
            client.publish(subject, b"eyJsecret")
        client.publish("another", b"harmless")
        client.flush()
        until_said(node, "harmless")
        check("eyJ" not in node.said(), "a token is traced")


def world_mapped(path):
    """Whom a certificate names is asked about also where no_auth_user, who is not, opens the door before CONNECT."""
    if not shards(path):
        return  # a nats-server lets him in unasked
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        server = authority.issue("server", names="IP:127.0.0.1")
        own, bob = authority.issue("own", names="DNS:auth"), authority.issue("bob", names="email:bob@x.org")
        last = ("no_auth_user: other\ntls {cert_file: '%s', key_file: '%s', ca_file: '%s', verify_and_map: true, timeout: 20}"
                % (*server, authority.file))
        world = World(path, more="allowed_accounts: [APP]", last=last, tls=(authority.file, own))
        world.node.accounts = world.node.accounts.replace("{user: app, password: app}",
                                                          '{user: app, password: app}, {user: "bob@x.org"}')
        with world:
            world.service.answers["*"] = lambda claims: b""
            for first in (None, b"PING\r\n"):
                client = Login(world.node, first=first, tls=(authority.file, bob))
                check(not client.decided(), f"he is let in by {first}")
                expect(f"what {first} is told", [AV], client.errors)


def world_tls(path):
    """What is told of a client's TLS, with a certificate and without one, verified or only shown."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        server, client = authority.issue("server", names="IP:127.0.0.1"), authority.issue("client")
        for verify in (False, True):
            tls = "tls {cert_file: '%s', key_file: '%s', ca_file: '%s', verify: %s, timeout: 20}" % (*server, authority.file,
                                                                                   str(verify).lower())
            with World(path, last=tls, tls=(authority.file, client)) as world:
                world.service.answers["ann"] = let_in(world.issuer)
                check(Login(world.node, user="ann", tls=(authority.file, client)).decided(), "with TLS")
                said = world.service.requests[-1]["claims"]["nats"]["client_tls"]
                expect("version", "1.3", said["version"])
                check(said["cipher"].startswith("TLS_"), said["cipher"])
                with open(client[0], encoding="ascii") as file:
                    pem = file.read()
                chain = said["verified_chains"][0] if verify else said.get("certs", [])
                if verify:
                    expect("certificates", [pem.strip(), open(authority.file, encoding="ascii").read().strip()],
                           [one.strip() for one in chain])
                    check("certs" not in said, "certificates are told twice")
                else:
                    expect("certificates", [], chain)


class Two(Nodes):
    """A server with logins and another one with the service."""

    def __init__(self, paths):
        self.issuer = Key("A")
        ports = free_ports(4)
        self.nodes = [Node(path, name, ports[i], ports[i + 2], shards(path), "", config(self.issuer))
                      for i, (path, name) in enumerate(zip(paths, ("one", "two")))]
        for node in self.nodes:
            node.routes = [other.cluster_port for other in self.nodes if other is not node]


def two_servers(paths):
    with Two(paths) as world:
        one, two = world.nodes
        service = AuthService(two, world.issuer)
        service.answers["*"] = let_in(world.issuer)
        known = let_in_as(one, user="auth", **{"pass": "auth"})
        probe = let_in_as(two, user="auth", **{"pass": "auth"})
        sid = probe.subscribe("probe")
        pump([known, probe], lambda: probe.messages, lambda: known.publish("probe", b"x"))
        probe.unsubscribe(sid)
        for i in range(20):
            let_in_as(one, user="ann%d" % i)
        service.close()


WORLDS = [world_sealed, world_silent, world_allowed, world_nobody, world_reload, world_bound,
          world_traced, world_traced_elsewhere, world_mapped, world_tls]


def attempt(name, path, case):
    began = time.monotonic()
    try:
        case()
        print(f"ok {name} of {path} ({time.monotonic() - began:.1f} s)", flush=True)
        return 0
    except (Failure, OSError, KeyError, IndexError) as failure:
        print(f"FAILED {name} of {path}: {failure!r}", flush=True)
        return 1


def rows_of(path, only):
    """The rows against one server, which they share."""
    results = []
    with World(path) as world:
        for row in ROWS:
            if only and row.__name__ not in only:
                continue
            world.service.answers.clear()
            results.append(attempt(row.__name__, path, lambda row=row: row(world)))
            if results[-1]:
                print(world.node.said()[-2000:], flush=True)
    return results


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, WAITING_MAX + 1000)), hard))
    only = [word for word in sys.argv[1:] if word in globals()]
    paths = [word for word in sys.argv[1:] if word not in only]
    results = []
    for path in paths:
        results += rows_of(path, only)
    runs = [(world.__name__, path, lambda w=world, p=path: w(p)) for path in paths for world in WORLDS]
    pairs = [(paths[0], paths[0])] + [pair for path in paths[1:] for pair in ((paths[0], path), (path, paths[0]))]
    runs += [("two_servers", " and ".join(pair), lambda p=pair: two_servers(p)) for pair in pairs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # they mostly wait
        results += pool.map(lambda run: attempt(*run), [run for run in runs if not only or run[0] in only])
    print(f"auth callout: {results.count(0)} passed, {results.count(1)} failed")
    return 1 if any(results) or not results else 0


if __name__ == "__main__":
    sys.exit(main())
