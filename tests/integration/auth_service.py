"""tests/integration/auth_service.py - a service that decides about logins (auth callout), on a thread of its own.

It is told by user names what to say: each test puts a function into `answers`, from the request's claims to what is
published; None says nothing.
"""
import json
import socket
import ssl
import threading

from cluster_client import WAIT_SECONDS, Failure
from nkeys import Key, claims_of, token

SUBJECT = "$SYS.REQ.USER.AUTH"


def sealed_by_tls(plain, tls):
    """Reads INFO in clear, then begins TLS: `tls` is an authority's file and a certificate with its key."""
    info = b""
    while not info.endswith(b"\r\n"):
        info += plain.recv(1)
    context = ssl.create_default_context(cafile=tls[0])
    context.load_cert_chain(*tls[1])
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


class AuthService:
    """A client in the callout's account. With `xkey` it takes sealed questions and seals what it says."""

    def __init__(self, node, issuer, xkey=None, login="auth", tls=None):
        self.issuer, self.xkey = issuer, xkey
        self.answers = {}
        self.requests = []
        self.refused = None
        self.seals = True
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=WAIT_SECONDS)
        if tls:
            self.socket = sealed_by_tls(self.socket, tls)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"user":"%s","pass":"%s"}\r\nSUB %s 1\r\nPING\r\n'
                            % (login.encode(), login.encode(), SUBJECT.encode()))
        while True:
            line = self.stream.readline()
            if line.startswith(b"PONG"):
                break
            if not line or line.startswith(b"-ERR"):
                raise Failure(f"the service is not let in: {line}")
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.socket.close()

    def serve(self):
        try:
            while True:
                words = self.stream.readline().split()
                if not words:
                    return
                if words[0] == b"PING":
                    self.socket.sendall(b"PONG\r\n")
                if words[0] in (b"MSG", b"HMSG"):
                    header_bytes = int(words[-2]) if words[0] == b"HMSG" else 0
                    body = self.stream.read(int(words[-1]) + 2)[:-2]
                    self.answer(words[3].decode(), body[:header_bytes], body[header_bytes:])
        except OSError:
            return

    def answer(self, reply, header, payload):
        sealed_by = None
        if header:
            sealed_by = header.split(b"Nats-Server-Xkey: ")[1].split(b"\r\n")[0].decode()
            payload = self.xkey.open(payload, sealed_by)
        claims = claims_of(payload.decode())
        self.requests.append({"reply": reply, "sealed_by": sealed_by, "claims": claims})
        name = claims["nats"]["connect_opts"].get("user", "")
        said = self.answers.get(name, self.answers.get("*", lambda _: None))(claims)
        if said is None:
            return
        if sealed_by and self.seals and said:
            said = self.xkey.seal(said, sealed_by)
        self.socket.sendall(b"PUB %s %d\r\n%s\r\n" % (reply.encode(), len(said), said))


def user(issuer, claims, account="APP", body=None, **more):
    """A user's token, as the question wants it but for what is given."""
    body = {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2, **(body or {})}
    return token(issuer, body, **{"sub": claims["nats"]["user_nkey"], "aud": account, **more})


def response(issuer, claims, jwt=None, body=None, **more):
    """The answer around it."""
    body = {**({"jwt": jwt} if jwt else {}), "type": "authorization_response", "version": 2, **(body or {})}
    return token(issuer, body, **{"sub": claims["nats"]["user_nkey"], "aud": claims["nats"]["server_id"]["id"],
                                  **more}).encode()


def let_in(issuer, account="APP", body=None, **more):
    """What a service says of somebody who may come in."""
    return lambda claims: response(issuer, claims, user(issuer, claims, account, body, **more))
