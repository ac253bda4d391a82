"""tests/tls/rows_edges.py - odd handshakes: renegotiation, bytes and records one by one, the end at every stage, clear bytes
before, within and behind, other names than the certificate's, TLS where there is none and none where there is."""
import re
import socket
import ssl
import struct

from cases import NEW, OWN, ByHand, case, first_flight, s_client, served
from server import PATIENCE, trust


def one_by_one(data):
    return [data[i:i + 1] for i in range(len(data))]


def small_records(data):
    """Cuts handshake records that are not sealed into such of 1, 2, 3... bytes."""
    pieces = []
    while data:
        kind, version, count = struct.unpack(">BHH", data[:5])
        body, data, size = data[5:5 + count], data[5 + count:], 1
        while body:
            part, body = body[:size], body[size:]
            pieces.append(struct.pack(">BHH", kind, version, len(part)) + part)
            size += 1
    return [b"".join(pieces)]


HELLO = b'CONNECT {"verbose":false}\r\nPING\r\n'


@case(OWN)
def renegotiation_is_refused(run):
    """In 1.2, where there is such a thing: no second handshake, and nobody else notices."""
    other = run.secure().hello()
    text = s_client(run, "-tls1_2", text=b"R\n")
    # no_renegotiation by OpenSSL, unexpected_message by Go
    assert "RENEGOTIATING" in text and ("no renegotiation" in text or "unexpected message" in text), text
    served(other, 10)
    run.server.expect("Client connection closed")  # that of s_client, and all that it did stands before it
    assert run.server.count("TLS handshake complete") == 2, run.server.lines


@case(OWN)
def bytes_may_come_one_by_one(run):
    """The handshake and what is said inside; both versions."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trust(run.ca, maximum_version=version, minimum_version=version)
        ByHand(run.open(), context, one_by_one).shake().ask(HELLO, b"PONG\r\n")


@case(OWN)
def a_client_hello_may_come_in_many_records(run):
    """Of one byte, two, three; both versions."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trust(run.ca, maximum_version=version, minimum_version=version)
        client = ByHand(run.open(), context)
        flights = iter([small_records])
        client.pack = lambda data, left=flights: next(left, lambda whole: [whole])(data)  # only the first one
        client.shake().ask(HELLO, b"PONG\r\n")


def leave(client, reset):
    if reset:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@case(OWN)
def the_end_may_come_at_every_stage(run):
    """By FIN and by RST: behind INFO, in the ClientHello, behind it, behind the server's flight, behind the handshake.
    Each is closed at once, with its reason, and a client that behaves is served."""
    other = run.secure().hello()
    hello = first_flight(run.context)
    for reset in (False, True):
        for part in (b"", hello[:100], hello):
            client = run.open()
            client.send(part)
            leave(client, reset)
        client = run.open()
        client.send(hello)
        client.socket.recv(1)
        leave(client, reset)
        ByHand(run.open(), run.context).shake().client.close()
        leave(ByHand(run.open(), run.context).shake().client, reset)
        served(other, 10)
    run.server.expect_count("Client connection closed", 12)
    # Who was sent something and does not read it may be noticed by that: a write error, as good a reason.
    assert run.server.count("Client connection closed: TLS Handshake Failure") >= 4, run.server.lines
    assert run.server.count("Client connection closed: Client Closed") <= 4, run.server.lines


@case(OWN + "timeout: 2\n")
def clear_bytes_around_the_handshake_are_no_commands(run):
    """Before it they end the connection, between its messages and behind it as well (where Go waits for the rest of such
    a record, `timeout` does); nothing of them is obeyed."""
    other = run.secure().hello()
    other.send(b"SUB secret 1\r\nPING\r\n")
    other.expect(b"PONG")
    command, hello = b"PUB secret 2\r\nhi\r\n", first_flight(run.context)
    for data in (command + hello, HELLO + command, hello + command, hello + HELLO + command):
        client = run.open()
        client.send(data)
        assert b"-ERR" not in client.rest() and b"PONG" not in client.buffer, client.buffer
    client = ByHand(run.open(), run.context, lambda data: [data + command])
    try:
        client.shake().ask(HELLO, b"PONG\r\n")
        raise AssertionError("clear bytes behind the handshake are swallowed")
    except (ssl.SSLError, ConnectionError, AssertionError) as error:
        assert "swallowed" not in str(error), error
    client.client.rest()
    other.send(b"PING\r\n")
    other.expect(b"PONG")  # and no MSG before it


@case(OWN, top="allow_non_tls: true")
def who_has_begun_in_clear_stays_there(run):
    """A ClientHello behind a command is garbage, and no handshake."""
    client = run.open()
    client.send(HELLO + first_flight(run.context))
    client.expect(b"PONG", b"-ERR 'Unknown Protocol Operation'")
    assert client.rest() == b""
    run.server.expect("Client connection closed")
    assert run.server.count("TLS handshake complete") == 0, run.server.lines


@case(OWN)
def garbage_inside_is_answered_inside(run):
    """As in clear: -ERR, and the end."""
    for garbage in (b"\x00\x01\x02\x03" * 100, b"GET / HTTP/1.1\r\n\r\n"):
        client = run.secure()
        client.send(garbage)
        assert b"-ERR 'Unknown Protocol Operation'" in client.rest(), client.buffer


@case(OWN)
def another_name_than_the_certificates_is_the_clients_affair(run):
    """Any server name, or none, gets the one certificate; a client that checks it leaves, and says why."""
    for name in (["-servername", "wrong.test"], ["-noservername"], ["-servername", "x" * 60 + ".test"]):
        text = s_client(run, "-brief", *name)
        assert "CONNECTION ESTABLISHED" in text and "Verification: OK" in text, text
    text = s_client(run, "-brief", "-servername", "wrong.test", "-verify_hostname", "wrong.test", "-verify_return_error")
    assert "CONNECTION ESTABLISHED" not in text and re.search("[Hh]ostname mismatch", text), text
    run.server.expect("TLS handshake error: ")  # Go cannot read OpenSSL's alert
    run.secure().hello()


@case("certs: [{cert_file: {second}, key_file: {second_key}}, {cert_file: {server}, key_file: {server_key}}]\n",
      only=["myelin", "2.10"], why=NEW)
def nobodys_name_gets_the_first_certificate(run):
    """Of several; with the name of one, that one."""
    for arguments, common_name in ((["-servername", "wrong.test"], "second"), (["-noservername"], "second"),
                                   (["-servername", "localhost"], "server")):
        text = s_client(run, "-brief", *arguments)
        assert f"Peer certificate: CN = {common_name}" in text, text


@case(OWN)
def names_that_are_none_hurt_nobody(run):
    """A zero in it, control characters, dots: whatever becomes of the handshake, the server serves."""
    other = run.secure().hello()
    hello = first_flight(run.context)
    for name in (b"loca\0host", b"........x", b"\xff" * 9, b"\r\nPING\r\n ", b"*.test.  "):
        client = run.open()
        client.send(hello.replace(b"localhost", name))
        assert client.socket.recv(1) in (b"\x15", b"\x16", b""), name
        client.close()
        served(other, 3)


@case(None)
def tls_to_a_port_in_clear_is_no_command(run):
    """The server has never heard of such an operation; whoever expects TLS is told something that is not."""
    client = run.open()
    client.send(first_flight(run.context))
    assert b"-ERR 'Unknown Protocol Operation'" in client.rest(), client.buffer
    for first in (False, True):
        text = s_client(run, "-brief", first=first)
        assert "CONNECTION ESTABLISHED" not in text and "SSL routines" in text, text
    run.open().hello()


@case(OWN)
def who_does_not_wait_for_info_fails(run):
    """A client that is told to shake hands first finds INFO in the place of a ServerHello."""
    text = s_client(run, "-brief", first=True)
    assert "CONNECTION ESTABLISHED" not in text and "wrong version number" in text, text
    run.server.expect("Client connection closed: TLS Handshake Failure")
    run.secure().hello()


@case(OWN + "handshake_first: true\n", only=["myelin", "2.10"], why=NEW)
def in_clear_to_a_port_where_tls_is_first(run):
    """Closed, without a word in clear."""
    client = run.open(first=True)
    client.socket.settimeout(PATIENCE)
    client.send(HELLO)
    assert not client.rest().startswith((b"INFO", b"-ERR", b"PONG")), client.buffer
    run.server.expect("tls: first record does not look like a TLS handshake")
