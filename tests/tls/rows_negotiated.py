"""tests/tls/rows_negotiated.py - what server and client agree on: versions, suites, curves. `openssl s_client` offers, and
says what it got."""
import re
import ssl

from cases import NEW, OWN, case, refused, s_client
from server import trust

RSA = "cert_file: {rsa}, key_file: {rsa_key}\n"
# Name in the configuration: what s_client offers it as, and what it calls the curve that was agreed on.
CURVES = {"X25519": ("X25519", "X25519"), "CurveP256": ("P-256", "prime256v1"), "CurveP384": ("P-384", "secp384r1"),
          "CurveP521": ("P-521", "secp521r1")}
NO_CURVE = ("tls: no key exchanges supported by both client and server",  # the newest Go, and Myelin
            "tls: no ECDHE curve supported by both client and server")
NO_SUITE = ("tls: no cipher suite supported by both client and server",)
NO_VERSION = ("tls: client offered only unsupported versions",)


def agreed(run, *arguments):
    """(version, suite, curve) that s_client says it has with the server."""
    text = s_client(run, "-brief", *arguments)
    assert "Verification: OK" in text, text
    version = re.search(r"^Protocol version: (\S+)", text, re.MULTILINE)
    suite = re.search(r"^Ciphersuite: (\S+)", text, re.MULTILINE)
    curve = re.search(r"(?:Temp Key: (?:ECDH, )?|TLS1.3 group: )([\w-]+)", text)
    assert version and suite, text
    return version.group(1), suite.group(1), curve.group(1) if curve else None


def disagree(run, alert, why, *arguments):
    """s_client gets no handshake but this alert, and the server says why, in one of these sentences."""
    text = s_client(run, "-brief", *arguments)
    assert "CONNECTION ESTABLISHED" not in text and alert in text, text
    run.server.expect(*("TLS handshake error: " + words for words in why))
    run.server.expect("Client connection closed: TLS Handshake Failure")


def refused_file(run, block, text):
    """Neither -t nor a reload takes this block, and the sentence is this; the server goes on with the old one."""
    code, said = run.says_of(block)
    assert code == 1 and text in said, (code, said)
    line = run.server.reloaded(run.configuration(block))
    assert "Failed to reload" in line and text in line, line
    run.secure().hello()


# ---- versions ----

@case(OWN)
def version_1_1_gets_an_alert(run):
    """protocol_version."""
    client = run.open()
    hello = bytes.fromhex("160301002f0100002b0302" + "00" * 32 + "00" + "0004c013c014" + "0100")
    client.send(hello)
    data = client.rest()
    assert data[:1] == b"\x15" and data[6:7] == bytes([70]), data


@case(OWN + "min_version: \"1.3\"\n", only=["myelin", "2.11"], why=NEW)
def min_version_1_3_refuses_1_2(run):
    """protocol_version; and the lowest version that may be asked for is 1.2."""
    refused(lambda: run.secure(trust(run.ca, maximum_version=ssl.TLSVersion.TLSv1_2)))
    disagree(run, "alert protocol version", NO_VERSION, "-tls1_2")
    assert agreed(run)[0] == "TLSv1.3"
    refused_file(run, OWN + "min_version: \"1.1\"\n", "unsupported TLS version: TLS 1.1")


# ---- suites ----

@case(OWN + "cipher_suites: [\"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"]\n")
def suites_of_1_2_are_those_named(run):
    """And 1.3 is not asked."""
    context = trust(run.ca, maximum_version=ssl.TLSVersion.TLSv1_2)
    client = run.secure(context)
    assert client.socket.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384", client.socket.cipher()
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    refused(lambda: run.secure(context))
    assert run.secure().socket.version() == "TLSv1.3"


@case(OWN)
def the_suite_is_the_servers_choice(run):
    """AES-128-GCM before AES-256-GCM, as Go has it."""
    assert run.secure().socket.cipher()[0] == "TLS_AES_128_GCM_SHA256"


@case(OWN)
def each_suite_of_1_2_that_is_on_by_default_is_agreed_on(run):
    """The AEAD ones with ECDHE; what has no forward secrecy is not among them, nor one for another kind of key."""
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        assert agreed(run, "-tls1_2", "-cipher", suite)[:2] == ("TLSv1.2", suite)
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        disagree(run, "handshake failure", NO_SUITE, "-tls1_2", "-cipher", suite)


@case(OWN, only=["myelin", "2.9-2.11"], why="since 2.12 Go's list, which has CBC, is the default")
def cbc_is_off_by_default(run):
    """Whoever needs it names it."""
    disagree(run, "handshake failure", NO_SUITE, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")


@case(RSA + "cipher_suites: [\"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\", \"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\"]\n",
      only=["myelin", "2.12"], why="2.9 has ChaCha20 by its older name")
def several_suites_may_be_named(run):
    """Also one that is not on by default and needs no leave; no other."""
    for suite in ("ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA"):
        assert agreed(run, "-tls1_2", "-cipher", suite)[:2] == ("TLSv1.2", suite)
    disagree(run, "handshake failure", NO_SUITE, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")


WEAK = "cipher_suites: [\"TLS_RSA_WITH_AES_128_GCM_SHA256\", \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"]\n"


@case(RSA + WEAK + "allow_insecure_cipher_suites: true\n", only=["myelin", "2.12"], why=NEW)
def a_weak_suite_needs_leave(run):
    """With allow_insecure_cipher_suites it is agreed on; without, or with `false`, no such file is taken."""
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        assert agreed(run, "-tls1_2", "-cipher", suite)[:2] == ("TLSv1.2", suite)
    sentence = "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: " \
               "TLS_RSA_WITH_AES_128_GCM_SHA256"
    refused_file(run, RSA + WEAK, sentence)
    refused_file(run, RSA + "allow_insecure_cipher_suites: false\n" + WEAK, sentence)
    refused_file(run, RSA + "cipher_suites: [\"TLS_NULL\"]\n", "unrecognized cipher TLS_NULL")


# ---- curves: with RSA, because in 1.2 those that are offered bind the key of the certificate too ----

@case(RSA)
def each_curve_is_on_by_default(run):
    """In both versions."""
    for offer, name in CURVES.values():
        for version in ("-tls1_2", "-tls1_3"):
            assert agreed(run, version, "-curves", offer)[2] == name


@case(RSA + "curve_preferences: [CurveP384]\n")
def the_curve_is_the_one_that_is_named(run):
    """Offered among others it is agreed on, in both versions; a client that has only others does not come in."""
    for version in ("-tls1_2", "-tls1_3"):
        assert agreed(run, version)[2] == "secp384r1"
        assert agreed(run, version, "-curves", "X25519:P-521:P-384")[2] == "secp384r1"
    disagree(run, "handshake failure", NO_CURVE, "-tls1_3", "-curves", "X25519:P-256:P-521")
    disagree(run, "handshake failure", NO_SUITE, "-tls1_2", "-curves", "X25519:P-256:P-521")
    refused_file(run, RSA + "curve_preferences: [CurveP224]\n", "unrecognized curve preference CurveP224")


@case(RSA + "curve_preferences: [CurveP256, CurveP521]\n")
def a_client_whose_key_share_is_of_another_curve_is_asked_again(run):
    """HelloRetryRequest: X25519 comes, P-256 is what both have."""
    text = s_client(run, "-tls1_3", "-curves", "X25519:P-256", "-msg")
    assert text.count(", ClientHello") == 2 and text.count(", ServerHello") == 2, text
    assert agreed(run, "-tls1_3", "-curves", "X25519:P-256")[2] == "prime256v1"
    assert agreed(run, "-tls1_3", "-curves", "P-521:X25519")[2] == "secp521r1"


@case(RSA + "curve_preferences: [X25519]\n")
def a_reload_changes_the_curves(run):
    """Each alone, in both versions; who is connected stays."""
    old = run.secure().hello()
    for curve, (offer, name) in CURVES.items():
        run.server.reload(run.configuration(RSA + f"curve_preferences: [{curve}]\n"))
        others = ":".join(other for other, _ in CURVES.values() if other != offer)
        for version in ("-tls1_2", "-tls1_3"):
            assert agreed(run, version)[2] == name
            text = s_client(run, "-brief", version, "-curves", others)
            assert "CONNECTION ESTABLISHED" not in text and "handshake failure" in text, text
    old.send(b"PING\r\n")
    old.expect(b"PONG")


@case(OWN + "handshake_first: true\n", only=["myelin", "2.10"], why=NEW)
def openssl_s_client_speaks_to_it_without_help(run):
    """TLS first: nothing stands between the two. Both versions, no compression, and what is said inside is answered."""
    for version in ("-tls1_2", "-tls1_3"):
        text = s_client(run, version, "-ign_eof", text=b"nonsense\r\n", first=True)
        assert "Compression: NONE" in text and "Verify return code: 0 (ok)" in text, text
        assert "INFO {" in text and "-ERR 'Unknown Protocol Operation'" in text, text
