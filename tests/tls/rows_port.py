"""tests/tls/rows_port.py - what a client meets on a port with TLS: the order of INFO and handshake, versions, certificates,
pins, users by certificate, limits, reload, sessions, and the load generator."""
import os
import select
import signal
import socket
import ssl
import subprocess
import threading

from cases import NEW, OWN, VERIFY, case, refused
from server import PATIENCE, trust


# ---- order ----

@case(OWN)
def info_comes_in_clear_and_tls_behind_it(run):
    """INFO says tls_required; it is not repeated inside TLS."""
    client = run.open()
    assert client.info["tls_required"] is True, client.info
    assert "tls_available" not in client.info and "tls_verify" not in client.info, client.info
    client.secure(run.context).login()
    client.expect(b"PONG")
    client.send(b"SUB a 1\r\nPUB a 2\r\nhi\r\n")
    client.expect(b"MSG a 1 2", b"hi")


@case(OWN)
def plain_connect_on_a_tls_port_is_closed_without_a_word(run):
    """No -ERR: the client would not understand it in the place of a handshake."""
    client = run.open()
    client.login()
    rest = client.rest()
    assert not rest.startswith(b"-ERR"), rest
    run.server.expect("TLS handshake error: tls: first record does not look like a TLS handshake")
    run.server.expect("Client connection closed: TLS Handshake Failure")


@case(OWN + "timeout: 0.3\n")
def silence_ends_the_handshake(run):
    """After `timeout`, without readable text."""
    client = run.open()
    assert client.rest() == b""
    run.server.expect("i/o timeout")
    run.server.expect("Client connection closed: TLS Handshake Failure")


@case(OWN + "timeout: 0.3\n")
def half_a_handshake_is_not_enough(run):
    """Dribbled bytes do not put off the end."""
    client = run.open()
    client.send(b"\x16\x03\x01\x02")
    client.rest()
    run.server.expect("i/o timeout")


@case(OWN)
def the_end_in_a_handshake_is_a_failure_of_it(run):
    """EOF after INFO."""
    run.open().close()
    run.server.expect("TLS handshake error: ")
    run.server.expect("Client connection closed: TLS Handshake Failure")


@case(OWN, top="allow_non_tls: true")
def allow_non_tls_takes_both(run):
    """INFO says tls_available; the first byte decides."""
    client = run.open()
    assert client.info.get("tls_available") is True and "tls_required" not in client.info, client.info
    client.hello()
    run.secure().hello()


@case(OWN + "timeout: 0.2\n", top="allow_non_tls: true")
def allow_non_tls_leaves_the_silent_alone(run):
    """Nothing in time means plain."""
    client, other = run.open(), run.open()
    refused_at = threading.Event()
    refused_at.wait(0.6)  # three times the timeout: nothing is to happen meanwhile
    client.hello()
    other.hello()


@case(OWN, top="allow_non_tls: true")
def allow_non_tls_keeps_the_bytes_it_looked_at(run):
    """`PI`, a pause, `NG`."""
    client = run.open()
    client.send(b"PI")
    client.send(b"NG\r\n")
    client.expect(b"PONG")


# ---- TLS first ----

@case(OWN + "handshake_first: true\n", only=["myelin", "2.10"], why=NEW)
def first_means_no_info_in_clear(run):
    """INFO comes inside TLS."""
    client = run.open(first=True).secure(run.context)
    assert client.read_info()["tls_required"] is True
    client.hello()


@case(OWN + "handshake_first: true, timeout: 0.3\n", top="allow_non_tls: true", only=["myelin", "2.10"], why=NEW)
def first_beats_allow_non_tls(run):
    """A client that waits for INFO gets none."""
    assert run.open(first=True).rest() == b""
    run.server.expect("i/o timeout")


@case(OWN + "handshake_first: auto\n", only=["myelin", "2.10"], why=NEW)
def auto_serves_those_that_wait_and_those_that_do_not(run):
    """TLS at once, or INFO after a moment of silence."""
    client = run.open(first=True).secure(run.context)
    client.read_info()
    client.hello()
    run.secure().hello()


@case(OWN + "handshake_first: \"100ms\"\n", top="allow_non_tls: true", only=["myelin", "2.10"], why=NEW)
def auto_with_allow_non_tls_serves_plain_ones_too(run):
    """After the wait everything is as without it."""
    run.open().hello()
    run.secure().hello()


# ---- certificates ----

@case(VERIFY)
def verify_wants_a_certificate_of_its_authority(run):
    """None, a rogue's, a good one."""
    assert run.open().info.get("tls_verify") is True
    run.secure(run.as_("alice")).hello()
    refused(lambda: run.secure().hello())
    run.server.expect("tls: client didn't provide a certificate")
    refused(lambda: run.secure(run.as_("rogue")).hello())
    run.server.expect("certificate signed by unknown authority")


@case(OWN + "ca_file: {ca}, verify: optional\n", only=["myelin", "2.15"], why=NEW)
def verify_optional_checks_what_is_shown(run):
    """None is fine, a rogue's is not."""
    run.secure().hello()
    run.secure(run.as_("alice")).hello()
    refused(lambda: run.secure(run.as_("rogue")).hello())


@case(VERIFY + "pinned_certs: [{pin_alice}]\n")
def only_pinned_certificates_come_in(run):
    """Upper-case digits, the listed one and another."""
    run.secure(run.as_("alice")).hello()
    refused(lambda: run.secure(run.as_("bob")).hello())
    run.server.expect("certificate not pinned")


@case("certs: [{cert_file: {server}, key_file: {server_key}}, {cert_file: {second}, key_file: {second_key}},"
      " {cert_file: {rsa}, key_file: {rsa_key}}]\n", only=["myelin", "2.10"], why=NEW)
def the_certificate_fits_what_the_client_asks_for(run):
    """By name, and by what it can verify."""
    def subject(context, host):
        client = run.open().secure(context, host)
        return dict(part[0] for part in client.socket.getpeercert()["subject"])["commonName"]
    assert subject(run.context, "localhost") == "server"
    assert subject(run.context, "second.test") == "second"
    rsa_only = trust(run.ca, maximum_version=ssl.TLSVersion.TLSv1_2)
    rsa_only.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert subject(rsa_only, "localhost") == "rsa"


@case("cert_file: {rsa}, key_file: {rsa_key}\n")
def an_rsa_certificate_works(run):
    """TLS 1.2 and 1.3."""
    run.secure().hello()
    run.secure(trust(run.ca, maximum_version=ssl.TLSVersion.TLSv1_2)).hello()


# ---- users by certificate ----

MAP = OWN + "ca_file: {ca}, verify_and_map: true\n"
ALICE_DN = "CN=alice,O=Org,C=DE"


def mapped(name, user, good):
    """A case with this one user; whether alice's certificate means it."""
    def by_certificate(run):
        client = run.secure(run.as_("alice"))
        client.login()
        client.expect(b"PONG" if good else b"-ERR 'Authorization Violation'")
    by_certificate.__name__ = name
    by_certificate.__doc__ = f"{user} {'is' if good else 'is not'} who alice's certificate names"
    case(MAP, top="authorization { users: [{user: \"%s\"}] }" % user)(by_certificate)


mapped("a_user_by_email", "alice@test", True)
mapped("a_user_by_host", "alice.test", True)
mapped("a_user_by_uri", "spiffe://test/alice", True)
mapped("a_user_by_dn", ALICE_DN, True)
mapped("a_user_by_dn_in_any_order", "O=Org,C=DE,CN=alice", True)
mapped("a_user_by_dn_with_blanks_and_small_types", "cn=alice, o=Org, c=DE", True)
mapped("values_of_a_dn_keep_their_case", "CN=Alice,O=Org,C=DE", False)
mapped("a_part_of_a_dn_is_no_name", "CN=alice", False)
mapped("another_name_is_nobodys", "carol@test", False)


@case(MAP, top="authorization { users: [{user: \"%s\"}, {user: \"spiffe://test/alice\"}, {user: \"alice.test\"},"
      " {user: \"alice@test\"}] }" % ALICE_DN)
def the_email_comes_before_the_other_names(run):
    """Email, DNS, URI, DN."""
    run.secure(run.as_("alice")).hello()
    run.server.expect("Using email found in cert for auth [\"alice@test\"]")


@case(MAP, top="authorization { users: [{user: carol, password: secret}, {user: \"alice@test\"}] }")
def a_certificate_that_names_nobody_is_not_saved_by_a_password(run):
    """bob's is good and means no user."""
    client = run.secure(run.as_("bob"))
    client.login(user="carol", **{"pass": "secret"})
    client.expect(b"-ERR 'Authorization Violation'")


# ---- limits ----

@case(OWN + "connection_rate_limit: 2\n")
def more_handshakes_a_second_than_allowed_are_told_so(run):
    """The first two shake hands, the others hear it in clear; once a second a line says how many."""
    clients = [run.open(first=True) for _ in range(5)]
    for client in clients:
        client.read_info()
    # Which of them came in time, the server knows: the others are told.
    told = [client for client in clients if client.buffer]
    while len(told) < 3:
        ready, _, _ = select.select([client.socket for client in clients if client not in told], [], [], PATIENCE)
        assert ready, "nobody is told"
        told += [client for client in clients if client.socket in ready]
    good = [client for client in clients if client not in told]
    assert len(good) == 2
    for client in good:
        client.secure(run.context).hello()
    for client in told:
        client.expect(b"-ERR 'Connection throttling is active. Please try again later.'")
        assert client.rest() == b""
    run.server.expect("Rejected 3 connections due to TLS rate limiting")


@case(OWN, top="max_connections: 1")
def one_too_many_hears_so_in_clear(run):
    """Before any handshake."""
    first = run.secure().hello()
    client = run.open()
    client.expect(b"-ERR 'maximum connections exceeded'")
    first.close()


@case(OWN + "handshake_first: true\n", top="max_connections: 1", only=["myelin", "2.10"], why=NEW)
def one_too_many_hears_so_in_clear_without_info_when_tls_is_first(run):
    """There is nothing to say it inside of."""
    first = run.open(first=True).secure(run.context)
    first.read_info()
    first.hello()
    client = run.open(first=True)
    client.expect(b"-ERR 'maximum connections exceeded'")
    first.close()


@case(OWN + "handshake_first: true, connection_rate_limit: 1\n", only=["myelin", "2.10"], why=NEW)
def the_rate_is_limited_where_tls_is_first_too(run):
    """Without INFO."""
    run.open(first=True).secure(run.context)
    client = run.open(first=True)
    client.expect(b"-ERR 'Connection throttling is active. Please try again later.'")


@case(OWN, top="authorization { user: a, password: b, timeout: 1 }")
def the_login_has_its_time_behind_the_handshake(run):
    """Authentication Timeout inside TLS."""
    client = run.secure()
    client.expect(b"-ERR 'Authentication Timeout'")
    run.secure().login(user="a", **{"pass": "b"}).expect(b"PONG")
    run.secure().login(user="a", **{"pass": "x"}).expect(b"-ERR 'Authorization Violation'")


@case(OWN + "timeout: 1\n", top="authorization { user: a, password: b }")
def the_login_without_a_time_of_its_own_has_a_second_more(run):
    """tls.timeout + 1 s, from the end of the handshake on."""
    client = run.secure()
    client.expect(b"-ERR 'Authentication Timeout'")
    run.secure().login(user="a", **{"pass": "b"}).expect(b"PONG")


@case(OWN)
def large_messages_pass_whole(run):
    """A megabyte each, many times the size of a record; two connections, since one is not for two threads in Python."""
    client, publisher = run.secure().hello(), run.secure().hello()
    payload = os.urandom(1000000)
    client.send(b"SUB big 1\r\nPING\r\n")
    client.expect(b"PONG")
    for _ in range(3):
        sender = threading.Thread(target=publisher.send, args=(b"PUB big 1000000\r\n" + payload + b"\r\n",))
        sender.start()
        client.expect(b"MSG big 1 1000000")
        while len(client.buffer) < len(payload) + 2:
            assert client.fill()
        assert client.buffer[:len(payload)] == payload
        client.buffer = client.buffer[len(payload) + 2:]
        sender.join()


@case(OWN, top="max_pending: 2000000")
def who_does_not_read_is_a_slow_consumer(run):
    """max_pending counts what waits in clear; the publisher is served on."""
    slow, fast = run.open(), run.secure().hello()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.secure(run.context).hello()
    slow.send(b"SUB flood 1\r\nPING\r\n")
    slow.expect(b"PONG")
    message = b"PUB flood 50000\r\n" + b"x" * 50000 + b"\r\n"
    for _ in range(400):
        fast.send(message)
    fast.send(b"PING\r\n")
    fast.expect(b"PONG")
    run.server.expect("Slow Consumer Detected")


@case(OWN)
def close_notify_ends_a_connection(run):
    """And the server says goodbye as well."""
    client = run.secure().hello()
    client.socket.settimeout(PATIENCE)
    client.buffer += client.socket.recv(0)
    try:
        client.socket.unwrap()
    except (ssl.SSLError, ConnectionError, OSError) as error:
        assert "application data after close notify" in str(error) or "EOF" in str(error) or isinstance(
            error, ConnectionError), error
    run.server.expect("Client connection closed: Client Closed")


# ---- the load generator ----

def bench(run, *arguments):
    command = [run.bench, *arguments, "--server", f"127.0.0.1:{run.server.port}", "--json", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@case(VERIFY, needs_bench=True)
def the_load_generator_counts_every_delivery(run):
    """Small and large, fan-out, requests; and it checks whom it talks to."""
    secure = ["--tls", "--tlsca", run.ca.file, "--tlscert", run.files["alice"], "--tlskey", run.files["alice_key"]]
    for work in (["pubsub", "--messages", "20000", "--size", "300", "--subscribers", "3"],
                 ["pubsub", "--messages", "200", "--size", "100000"], ["request", "--messages", "500"],
                 ["pubsub", "--messages", "500", "--rate", "1000", "--size", "64"], ["connect", "--connections", "20"],
                 ["subs", "--messages", "20000"]):
        done = bench(run, *work, *secure)
        assert done.returncode == 0, (work, done)
    other = bench(run, "pub", "--messages", "10", *secure, "--tlsca", run.other.file)
    assert other.returncode == 1 and "failed to verify certificate" in other.stderr, other
    nobody = bench(run, "pub", "--messages", "10", "--tls", "--insecure")
    assert nobody.returncode == 1, nobody


@case(OWN, top="authorization { user: a, password: b }")
def last_words_come_before_the_goodbye(run):
    """-ERR, then close_notify: nobody has cut the connection."""
    client = run.open()
    client.socket = run.context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
    client.login(user="a", **{"pass": "x"}).expect(b"-ERR 'Authorization Violation'")
    assert client.socket.recv(100) == b""


@case(OWN)
def lame_duck_is_told_inside_tls(run):
    """INFO with ldm."""
    client = run.secure().hello()
    client.send(b"PING\r\n")
    client.expect(b"PONG")
    run.server.process.send_signal(signal.SIGUSR2)
    while not client.read_info().get("ldm"):
        pass
    run.server.ended = True  # it may be gone as soon as its only client is


@case(OWN)
def the_end_of_the_server_is_said(run):
    """SIGTERM: close_notify for everybody, and no more."""
    client = run.open()
    client.socket = run.context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
    client.hello()
    waiting = run.open()
    run.server.process.terminate()
    while client.socket.recv(65536) != b"":
        pass
    waiting.rest()
    run.server.ended = True


# ---- reload ----

@case(OWN)
def a_new_certificate_serves_new_clients_and_drops_none(run):
    """Certificates are rotated under a live connection."""
    old = run.secure().hello()
    run.server.reload(run.configuration("cert_file: {second}, key_file: {second_key}\n"))
    old.send(b"PING\r\n")
    old.expect(b"PONG")
    context = trust(run.ca)
    new = run.open().secure(context, "second.test").hello()
    subject = dict(part[0] for part in new.socket.getpeercert()["subject"])
    assert subject["commonName"] == "second", subject
    run.server.expect("Reloaded: tls = enabled")


@case(OWN)
def tls_can_be_switched_off_and_on(run):
    """Who is connected stays so."""
    old = run.secure().hello()
    run.server.reload("# in clear\n")
    run.open().hello()
    run.server.expect("Reloaded: tls = disabled")
    run.server.reload(run.configuration(OWN))
    run.secure().hello()
    old.send(b"PING\r\n")
    old.expect(b"PONG")


@case(OWN)
def a_bad_new_certificate_changes_nothing(run):
    """One line says why; the old one serves on."""
    run.server.write(run.configuration("cert_file: {server}, key_file: {second_key}\n"))
    run.server.process.send_signal(signal.SIGHUP)
    run.server.expect("private key does not match public key", "does not match public key")
    run.secure().hello()


@case(VERIFY + "pinned_certs: [{pin_alice}]\n", only=["myelin"], why="read in the source, not seen there")
def a_pin_that_is_taken_away_closes(run):
    """Those who are connected by it."""
    client = run.secure(run.as_("alice")).hello()
    run.server.reload(run.configuration(VERIFY + "pinned_certs: [\"" + run.ca.pin("bob") + "\"]\n"))
    client.rest()
    run.server.expect("Disconnect 1 clients due to pinned certs reload")
    run.secure(run.as_("bob")).hello()


# ---- sessions ----

def resumes(run, context, session):
    client = run.open().secure(context, session=session).hello()
    return client.socket.session_reused, client.socket.session


@case(OWN)
def a_session_is_resumed(run):
    """By ticket."""
    _, session = resumes(run, run.context, None)
    again, _ = resumes(run, run.context, session)
    assert again


@case(OWN, only=["myelin"], why="nats-server seals the keys of a 1.2 session into its ticket")
def a_session_of_1_2_is_not_resumed(run):
    """Its ticket would hold the keys of what was said."""
    context = trust(run.ca, maximum_version=ssl.TLSVersion.TLSv1_2)
    _, session = resumes(run, context, None)
    again, _ = resumes(run, context, session)
    assert not again


@case(VERIFY, only=["myelin"], why="Go makes new ticket keys with each configuration")
def a_session_outlives_a_reload_but_not_other_rules(run):
    """The keys stay; whoever the rules would not let in again is asked again."""
    context = run.as_("alice")
    _, session = resumes(run, context, None)
    run.server.reload(run.configuration(VERIFY + "timeout: 3\n"))
    again, session = resumes(run, context, session)
    assert again
    run.server.reload(run.configuration(OWN + "ca_file: {other}, verify: true\n"))
    refused(lambda: resumes(run, context, session))
